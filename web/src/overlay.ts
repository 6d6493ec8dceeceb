/** A heat map laid over an image: colours mixed for the eye. The values themselves stand beside it. */

import { diverging, grey, type Rgb } from './colour'
import type { Plane } from './plane'

const MOST = 0.85 // share of the heat's colour where it is strongest

/** How much of a heat's colour covers the image. */
export function cover(value: number, limit: number): number {
  if (!Number.isFinite(value) || limit <= 0) return 0
  return Math.min(1, Math.abs(value) / limit) * MOST
}

/** RGBA bytes, `cell` device pixels a cell. colour: whether the image's first three channels are red, green, blue. */
export function overlay(
  image: Plane, colour: boolean, heat: Plane, limit: number, cell: number,
): Uint8ClampedArray<ArrayBuffer> {
  const width = heat.columns * cell
  const bytes = new Uint8ClampedArray(new ArrayBuffer(heat.rows * cell * width * 4))
  for (let row = 0; row < heat.rows; row++) {
    for (let column = 0; column < heat.columns; column++) {
      const at = image.index(row, column)
      const under: Rgb = colour
        ? [grey(image.data[at]!)[0], grey(image.data[at + 1]!)[0], grey(image.data[at + 2]!)[0]]
        : grey(image.data[at]!)
      const value = heat.data[heat.index(row, column)]!
      const share = cover(value, limit)
      const over = diverging(Number.isFinite(value) ? value : 0, limit)
      for (let y = row * cell; y < (row + 1) * cell; y++) {
        for (let x = column * cell; x < (column + 1) * cell; x++) {
          const to = (y * width + x) * 4
          for (let part = 0; part < 3; part++) bytes[to + part] = Math.round(under[part]! * (1 - share) + over[part]! * share)
          bytes[to + 3] = 255
        }
      }
    }
  }
  return bytes
}
