/** A notebook is light or dark by its own choice, whatever the system says; a page of our own follows the system. */

export type Theme = 'light' | 'dark'

/** What JupyterLab, Visual Studio Code, Colab and marimo say of themselves; null: nothing known. */
export function themeOf(root: HTMLElement, body: HTMLElement): Theme | null {
  const lab = body.dataset.jpThemeLight
  if (lab !== undefined) return lab === 'false' ? 'dark' : 'light'
  const code = body.dataset.vscodeThemeKind
  if (code !== undefined) return code.includes('dark') || code === 'vscode-high-contrast' ? 'dark' : 'light'
  const named = root.getAttribute('theme') ?? root.dataset.theme ?? body.dataset.theme
  if (named === 'dark' || named === 'light') return named
  return null
}

/** Call back with the notebook's theme, now and whenever it changes. Gives what ends that. */
export function followTheme(tell: (theme: Theme | null) => void): () => void {
  const look = (): void => tell(themeOf(document.documentElement, document.body))
  const watch = new MutationObserver(look)
  const attributes = ['data-jp-theme-light', 'data-vscode-theme-kind', 'data-theme', 'theme']
  for (const element of [document.documentElement, document.body]) watch.observe(element, { attributes: true, attributeFilter: attributes })
  look()
  return () => watch.disconnect()
}
