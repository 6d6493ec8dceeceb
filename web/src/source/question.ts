/** Questions, written canonically: the text is also the key of a recorded answer. */

export type Argument = string | number

const ALLOWED = /^[A-Za-z0-9.,:-]+$/

/** Write a question: arguments in alphabetical order; those that are null or undefined are left out. */
export function ask(name: string, given: Readonly<Record<string, Argument | null | undefined>> = {}): string {
  const parts = Object.entries(given)
    .filter((entry): entry is [string, Argument] => entry[1] !== null && entry[1] !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([key, value]) => {
      const text = String(value)
      if (!ALLOWED.test(text)) throw new RangeError(`the argument ${key} of ${name} cannot be written: ${JSON.stringify(text)}`)
      return `${key}=${text}`
    })
  return parts.length === 0 ? name : `${name}?${parts.join('&')}`
}

/** The name and the arguments of a question. */
export function parse(question: string): { name: string; given: Record<string, string> } {
  const [name = '', rest = ''] = question.split('?', 2)
  const given: Record<string, string> = {}
  for (const part of rest.split('&')) {
    const cut = part.indexOf('=')
    if (cut > 0) given[part.slice(0, cut)] = part.slice(cut + 1)
  }
  return { name, given }
}
