/** Tells when an element comes near the visible part of the page, once; for paper all is in sight. */

import { untrack } from 'svelte'
import { onPaper } from '../kit/paper.svelte'

export function seen(tell: () => void): (element: Element) => () => void {
  return (element) => {
    if (onPaper()) {
      untrack(tell)
      return () => undefined
    }
    const watch = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        watch.disconnect()
        tell()
      }
    }, { rootMargin: '400px' })
    watch.observe(element)
    return () => watch.disconnect()
  }
}
