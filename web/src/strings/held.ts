/** The texts of the page: a file for each language, which comes when a reader wants it (docs/page.md). */

import type { Language } from '../language'
import type { Strings } from './en'

// Known to the whole page, since these files are scripts of their own. A saved page and a notebook bring all of them along.
const held = ((globalThis as { neocogTexts?: Partial<Record<Language, Strings>> }).neocogTexts ??= {})

export function hold(language: Language, texts: Strings): void {
  held[language] = texts
}

/** Undefined until the language's file is here. */
export function textsOf(language: Language): Strings | undefined {
  return held[language]
}

/** Fetch a language's file, unless it is here. */
export async function fetchTexts(language: Language): Promise<void> {
  if (held[language]) return
  if (import.meta.env.DEV) await (language === 'en' ? import('./file.en') : import('./file.zh'))
  else await import(/* @vite-ignore */ new URL(`${language}.js`, document.baseURI).href)
}
