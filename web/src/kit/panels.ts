/** Puts the tools at the corner of every panel, whichever room made it. */

import { mount, unmount, untrack } from 'svelte'
import type { Session } from '../state.svelte'
import Copy from './Copy.svelte'

export function tools(session: Session): (main: Element) => () => void {
  return (main) => {
    const there = new Map<HTMLElement, ReturnType<typeof mount>>()
    const look = (): void => {
      for (const [panel, copy] of there) {
        if (main.contains(panel)) continue
        there.delete(panel)
        void unmount(copy)
      }
      for (const panel of main.querySelectorAll<HTMLElement>('.panel')) {
        if (!there.has(panel)) there.set(panel, mount(Copy, { target: panel, props: { panel, session } }))
      }
    }
    const watch = new MutationObserver(look)
    watch.observe(main, { childList: true, subtree: true })
    untrack(look)
    return () => watch.disconnect()
  }
}
