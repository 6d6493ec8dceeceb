/** The two languages, and which of them the reader wants. */

export const LANGUAGES = { en: 'English', zh: '中文' } as const
export type Language = keyof typeof LANGUAGES
const REMEMBERED = 'neocog-language'

/** What the reader chose before; null: nothing, or storage is not allowed here. */
function remembered(): Language | null {
  try {
    const kept = localStorage.getItem(REMEMBERED)
    return kept === 'en' || kept === 'zh' ? kept : null
  } catch {
    return null
  }
}

export function remember(language: Language): void {
  try {
    localStorage.setItem(REMEMBERED, language)
  } catch { /* storage is not allowed here: the choice lasts as long as the page */ }
}

/** The language of the browser. */
function spoken(): Language {
  return navigator.language.toLowerCase().startsWith('zh') ? 'zh' : 'en'
}

/** A language by its code; null: none of the two. */
export function named(code: string | null | undefined): Language | null {
  return code === 'en' || code === 'zh' ? code : null
}

/** The language to begin with. address: what stands behind the page's `#`; null where it is another's, and nothing is remembered. */
export function firstLanguage(address: string | null): Language {
  if (address === null) return spoken()
  return named(/[?&]lang=(\w+)/.exec(address)?.[1]) ?? remembered() ?? spoken()
}
