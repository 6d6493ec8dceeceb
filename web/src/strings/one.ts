/** Return the word for one thing, or for another number of them. */
export const one = (n: number, singular: string, plural: string): string => (n === 1 ? singular : plural)
