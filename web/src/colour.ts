/** Colours of values. Negative orange, zero white, positive blue: told apart by readers with any colour vision. */

import { mix } from './scale'

export type Rgb = readonly [number, number, number]

const STEPS = 255 // on each side of zero
const STOPS: readonly Rgb[] = [
  [127, 59, 8], [179, 88, 6], [224, 130, 20], [253, 184, 99], [248, 248, 246], [146, 197, 222], [67, 147, 195], [33, 102, 172], [5, 48, 97],
] // evenly spaced; the lightness falls steadily from the middle to either end

const TABLE: readonly Rgb[] = Array.from({ length: 2 * STEPS + 1 }, (_, place) => between((place / (2 * STEPS)) * (STOPS.length - 1)))

function between(place: number): Rgb {
  const left = Math.min(Math.floor(place), STOPS.length - 2)
  const [r, g, b] = [0, 1, 2].map((part) => Math.round(mix(STOPS[left]![part]!, STOPS[left + 1]![part]!, place - left)))
  return [r!, g!, b!]
}

/** The colour of a value on a scale from -limit over 0 to limit. With limit 0 everything is zero. */
export function diverging(value: number, limit: number): Rgb {
  const share = limit > 0 ? value / limit : Math.sign(value)
  return TABLE[Math.round(Math.min(1, Math.max(-1, share)) * STEPS) + STEPS]!
}

/** Grey of a value in [0, 1]. */
export function grey(value: number): Rgb {
  const level = Math.round(Math.min(1, Math.max(0, value)) * 255)
  return [level, level, level]
}

/** As CSS, for marks beside text. */
export function css([r, g, b]: Rgb, alpha = 1): string {
  return alpha === 1 ? `rgb(${r} ${g} ${b})` : `rgb(${r} ${g} ${b} / ${alpha})`
}

/** How values become colours: feature maps and weights; single channels of an image; the first three channels of an image. */
export type Colouring =
  | { readonly kind: 'diverging'; readonly limit: number }
  | { readonly kind: 'grey' }
  | { readonly kind: 'rgb' }

/** The end of a zero-centred scale that shows everything from `minimum` to `maximum`. */
export function reach(minimum: number, maximum: number): number {
  const ends = [Math.abs(minimum), Math.abs(maximum)].filter(Number.isFinite)
  return Math.max(0, ...ends)
}
