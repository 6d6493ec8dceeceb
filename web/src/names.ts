/** Names from elsewhere: of classes, files and data sets. */

// Hebrew, Arabic and their relatives, which run from right to left. Marks that turn the direction never come: Python escapes them.
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\u{10800}-\u{10fff}\u{1e800}-\u{1efff}]/u
const ISOLATE = '\u2068' // FIRST STRONG ISOLATE, Unicode Standard Annex 9
const END = '\u2069' // POP DIRECTIONAL ISOLATE

/** A name to stand in a sentence or beside a number, whose order it leaves as it is. */
export function isolated(name: string): string {
  return RIGHT_TO_LEFT.test(name) ? ISOLATE + name + END : name
}
