/**
 * The page on paper. Before it is printed it is laid out as wide as paper, everything counts as in sight, and what that
 * asks for is waited for: a browser gives no time for this between its own command and the printer.
 */

import { flushSync } from 'svelte'

/** Tiles of one grid that are printed: all filters of a deep layer would fill a ream. */
export const MOST_PRINTED = 96
const CALM = 3 // frames in a row without anything awaited: a view may ask when another has answered

interface Awaiting {
  readonly busy: boolean
}

let spread = $state(false)
let waiting = $state(false)

/** Whether the page is laid out for paper. */
export function onPaper(): boolean {
  return spread
}

/** Whether printing waits for answers. */
export function preparing(): boolean {
  return waiting
}

export function cancelPrinting(): void {
  waiting = false
  spread = false
}

/** Lay the page out for paper, wait until all of it is computed, and print. */
export async function printPage(session: Awaiting): Promise<void> {
  if (waiting) return
  spread = true
  waiting = true
  for (let calm = 0; calm < CALM; calm = session.busy ? 0 : calm + 1) {
    await new Promise((next) => requestAnimationFrame(next))
    if (!waiting) return // cancelled
  }
  waiting = false
  flushSync()
  window.print()
}

/** Follow the browser's own printing, and take over its keys. Gives what ends that. */
export function followPrinting(session: Awaiting): () => void {
  const before = (): void => {
    spread = true
    flushSync()
  }
  const key = (event: KeyboardEvent): void => {
    if (event.key.toLowerCase() !== 'p' || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return
    event.preventDefault()
    void printPage(session)
  }
  addEventListener('beforeprint', before)
  addEventListener('afterprint', cancelPrinting)
  addEventListener('keydown', key)
  return () => {
    removeEventListener('beforeprint', before)
    removeEventListener('afterprint', cancelPrinting)
    removeEventListener('keydown', key)
  }
}
