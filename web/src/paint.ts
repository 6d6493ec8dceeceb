/** Pixels of a plane: every cell a square of whole device pixels, so that reading back gives the cell's colour. */

import { diverging, grey, type Colouring, type Rgb } from './colour'
import type { Plane } from './plane'

const HATCH_DARK: Rgb = [90, 30, 90]
const HATCH_LIGHT: Rgb = [245, 235, 245]
const HATCH_WIDTH = 3 // device pixels of one stripe

/** The colour of a cell; null: not a number, to be hatched; undefined: no such cell. */
export function colourOf(plane: Plane, colouring: Colouring, row: number, column: number): Rgb | null | undefined {
  const at = plane.index(row, column)
  if (at < 0) return undefined
  const value = plane.data[at]!
  if (colouring.kind === 'rgb') {
    const [red, green, blue] = [value, plane.data[at + 1]!, plane.data[at + 2]!].map((level) => grey(level)[0])
    return [red!, green!, blue!]
  }
  if (!Number.isFinite(value)) return null
  return colouring.kind === 'grey' ? grey(value) : diverging(value, colouring.limit, colouring.palette)
}

/** RGBA bytes of a picture of rows · cell × columns · cell device pixels. */
export function paint(plane: Plane, colouring: Colouring, cell: number): Uint8ClampedArray<ArrayBuffer> {
  const width = plane.columns * cell
  const bytes = new Uint8ClampedArray(new ArrayBuffer(plane.rows * cell * width * 4))
  for (let row = 0; row < plane.rows; row++) {
    for (let column = 0; column < plane.columns; column++) {
      const colour = colourOf(plane, colouring, row, column)
      if (colour === undefined) continue
      for (let y = row * cell; y < (row + 1) * cell; y++) {
        for (let x = column * cell; x < (column + 1) * cell; x++) {
          const [r, g, b] = colour ?? (Math.floor((x + y) / HATCH_WIDTH) % 2 ? HATCH_DARK : HATCH_LIGHT)
          const at = (y * width + x) * 4
          bytes[at] = r
          bytes[at + 1] = g
          bytes[at + 2] = b
          bytes[at + 3] = 255
        }
      }
    }
  }
  return bytes
}

/** Device pixels of one cell, so that `cells` of them come close to `size` CSS pixels without passing it (but at least 1). */
export function cellSize(cells: number, size: number, ratio: number): number {
  return Math.max(1, Math.floor((size * ratio) / Math.max(1, cells)))
}
