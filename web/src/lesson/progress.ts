/** Which cards were answered: remembered from visit to visit, where storage is allowed. */

const KEPT = 'neocog-lesson'

export function answered(): ReadonlySet<number> {
  try {
    const cards: unknown = JSON.parse(localStorage.getItem(KEPT) ?? '[]')
    return new Set(Array.isArray(cards) ? cards.filter((card) => typeof card === 'number') : [])
  } catch {
    return new Set()
  }
}

export function keep(cards: ReadonlySet<number>): void {
  try {
    localStorage.setItem(KEPT, JSON.stringify([...cards]))
  } catch { /* storage is not allowed here: progress lasts as long as the page */ }
}
