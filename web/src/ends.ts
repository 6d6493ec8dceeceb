/** The ends of a colour scale: where the smallest and the largest value among some cells stand. */

import type { Plane } from './plane'
import type { Answer } from './source/message'

export interface End {
  readonly array: string
  readonly at: number
}

export interface Ends {
  readonly low: End
  readonly high: End
  readonly minimum: number
  readonly maximum: number
}

/** Of all cells of planes of one answer; what is not finite has no place on a scale. Null: no cell is finite. */
export function ends(planes: readonly Plane[]): Ends | null {
  let found: Ends | null = null
  for (const plane of planes) {
    for (let row = 0; row < plane.rows; row++) {
      for (let column = 0; column < plane.columns; column++) {
        const at = plane.index(row, column)
        const value = at < 0 ? NaN : plane.data[at]!
        if (!Number.isFinite(value)) continue
        const here = { array: plane.array, at }
        found ??= { low: here, high: here, minimum: value, maximum: value }
        if (value < found.minimum) found = { ...found, low: here, minimum: value }
        if (value > found.maximum) found = { ...found, high: here, maximum: value }
      }
    }
  }
  return found
}

/** Of a whole array. Where no cell is finite, both ends are its first cell, which says so. */
export function arrayEnds(of: Answer<unknown>, array: string): Ends {
  const data = of.arrays[array]?.data ?? new Float32Array()
  let [low, high] = [0, 0]
  for (let at = 0; at < data.length; at++) {
    const value = data[at]!
    if (!Number.isFinite(value)) continue
    if (!Number.isFinite(data[low]) || value < data[low]!) low = at
    if (!Number.isFinite(data[high]) || value > data[high]!) high = at
  }
  return { low: { array, at: low }, high: { array, at: high }, minimum: data[low] ?? 0, maximum: data[high] ?? 0 }
}

/** Indices of the largest values, largest first; of equal ones the first. */
export function largest(data: ArrayLike<number>, count: number): number[] {
  return Array.from(data, (_, index) => index)
    .sort((a, b) => (data[b]! - data[a]!) || (a - b))
    .slice(0, count)
}
