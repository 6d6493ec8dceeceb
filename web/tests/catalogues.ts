/** What the tests of all catalogues ask of them. */

/** Every text with its path. Functions are called with numbers that tell themselves apart. */
export function texts(catalogue: object, path = ''): Map<string, string> {
  const found = new Map<string, string>()
  for (const [key, value] of Object.entries(catalogue)) {
    const at = path ? `${path}.${key}` : key
    if (typeof value === 'string') found.set(at, value)
    else if (typeof value === 'function') found.set(at, String((value as (...given: unknown[]) => unknown)(17, 23, GIVEN)))
    else for (const [deeper, text] of texts(value as object, at)) found.set(deeper, text)
  }
  return found
}

/** A number that is a list of names too. */
const GIVEN = Object.assign([29], { toString: () => '29' })

/** The {names} in a text. */
export const holes = (text: string | undefined): string[] => [...String(text).matchAll(/\{(\w+)\}/g)].map(([, name]) => name!).sort()
