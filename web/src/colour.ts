/** Colours of values, one grammar in all rooms. Zero is white, and both sides are told apart with any colour vision. */

import { mix } from './scale'

export type Rgb = readonly [number, number, number]

const STEPS = 255 // on each side of zero
const WHITE: Rgb = [248, 248, 246]
// evenly spaced; the lightness falls steadily from the middle to either end
const STOPS = {
  /** what images and layers hold: orange, blue */
  values: [
    [127, 59, 8], [179, 88, 6], [224, 130, 20], [253, 184, 99], WHITE, [146, 197, 222], [67, 147, 195], [33, 102, 172], [5, 48, 97],
  ],
  /** purple, green */
  weights: [
    [64, 0, 75], [118, 42, 131], [153, 112, 171], [194, 165, 207], WHITE, [166, 219, 160], [90, 174, 97], [27, 120, 55], [0, 68, 27],
  ],
  /** rose, olive */
  gradient: [
    [122, 1, 60], [190, 30, 110], [230, 100, 160], [248, 185, 215], WHITE, [222, 218, 140], [175, 170, 40], [120, 115, 0], [70, 66, 0],
  ],
} satisfies Record<string, Rgb[]>

export type Palette = keyof typeof STOPS

const TABLES: Record<Palette, readonly Rgb[]> = { values: table(STOPS.values), weights: table(STOPS.weights), gradient: table(STOPS.gradient) }

function table(stops: readonly Rgb[]): Rgb[] {
  return Array.from({ length: 2 * STEPS + 1 }, (_, place) => between(stops, (place / (2 * STEPS)) * (stops.length - 1)))
}

function between(stops: readonly Rgb[], place: number): Rgb {
  const left = Math.min(Math.floor(place), stops.length - 2)
  const [r, g, b] = [0, 1, 2].map((part) => Math.round(mix(stops[left]![part]!, stops[left + 1]![part]!, place - left)))
  return [r!, g!, b!]
}

/** The colour of a value on a scale from -limit over 0 to limit. With limit 0 everything is zero. */
export function diverging(value: number, limit: number, palette: Palette = 'values'): Rgb {
  const share = limit > 0 ? value / limit : Math.sign(value)
  return TABLES[palette][Math.round(Math.min(1, Math.max(-1, share)) * STEPS) + STEPS]!
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

/** How values become colours: those with a sign; single channels of an image; the first three channels of an image. */
export type Colouring =
  | { readonly kind: 'diverging'; readonly limit: number; readonly palette?: Palette | undefined }
  | { readonly kind: 'grey' }
  | { readonly kind: 'rgb' }

/** Of one number each. */
export type Single = Exclude<Colouring, { kind: 'rgb' }>

/** The colour of a single value. */
export function tint(value: number, colouring: Single): string {
  return css(colouring.kind === 'grey' ? grey(value) : diverging(value, colouring.limit, colouring.palette))
}

/** The end of a zero-centred scale that shows everything from `minimum` to `maximum`. */
export function reach(minimum: number, maximum: number): number {
  const ends = [Math.abs(minimum), Math.abs(maximum)].filter(Number.isFinite)
  return Math.max(0, ...ends)
}
