/** What each card lights in its room: found by the array of an answer that is drawn there, since rooms come and go. */

import type { CardFacts } from './card'

const LIGHTS: Record<string, readonly string[]> = {
  A1: ['[data-array="image"]'],
  A2: ['[data-light="patches"]', '.panel'],
  A3: ['canvas[data-array="map"]'],
  A4: ['canvas[data-array="small"]'],
  A6: ['canvas[data-array="filters"]', '.panel'],
  A7: ['table [data-array="products"]', 'canvas[data-array="output"]'],
  A9: ['[data-array="channel_sums"]', '[data-array="running"]'],
  A10: ['.graph'],
  A11: ['.wirings'],
  A12: ['input[data-tap]'],
  A13: ['canvas[data-array="input"]'],
  A14: ['table [data-array="input"]', 'canvas[data-array="input"]'],
  A15: ['.line [data-array="products"]'],
  A16: ['.practice', '.curves'],
}
const WIDE = '(min-width: 861px)' // where card and room stand side by side

/** The whole that a part belongs to: of a number its table, or its line in a long list; of a picture the picture. */
function whole(part: Element): Element {
  return part.closest('table, .line') ?? part
}

/** Light what a card speaks of as soon as the room has drawn it; where card and room stand side by side, bring it into sight. */
export function lit(facts: CardFacts): (root: Element) => () => void {
  const wanted = LIGHTS[facts.row] ?? [`[data-layer="${facts.place.layer}"]`]
  return (root) => {
    let found: Element | null = null
    let rank = wanted.length // of what was found: its place among what is wanted
    const look = (): void => {
      if (!found?.isConnected) rank = wanted.length
      const better = wanted.slice(0, rank).findIndex((one) => root.querySelector(one))
      if (better < 0) return
      found?.removeAttribute('data-spot')
      found = whole(root.querySelector(wanted[better]!)!)
      rank = better
      found.setAttribute('data-spot', facts.row)
      const { top, bottom, height } = found.getBoundingClientRect()
      if (!matchMedia(WIDE).matches || (top >= 0 && bottom <= innerHeight)) return
      found.scrollIntoView({ block: height < innerHeight / 2 ? 'center' : 'start' })
    }
    const watch = new MutationObserver(look)
    watch.observe(root, { childList: true, subtree: true })
    look()
    return () => {
      watch.disconnect()
      found?.removeAttribute('data-spot')
    }
  }
}
