/** A picture of cells in an array of an answer: which flat index lies at (row, column). Nothing is copied. */

import type { Answer } from './source/message'

export interface Plane {
  readonly answer: Answer<unknown>
  readonly array: string
  readonly data: Float32Array
  readonly rows: number
  readonly columns: number
  /** flat index; -1 where a wrapped vector has no cell */
  index(row: number, column: number): number
}

const VECTOR_COLUMNS = 32 // a vector is wrapped into rows of this length

/**
 * One map of an array (P, Q, K), an array (P, Q), or a vector (F,) wrapped into rows.
 * `lead`: leading indices that pick an array of those shapes out of one with more axes.
 */
export function plane(
  answer: Answer<unknown>, array: string, channel = 0, lead: readonly number[] = [],
): Plane | null {
  const found = answer.arrays[array]
  if (!found) return null
  const shape = found.shape.slice(lead.length)
  const block = shape.reduce((product, extent) => product * extent, 1)
  let start = 0
  for (const [axis, at] of lead.entries()) start = start * found.shape[axis]! + at
  start *= block
  const { data } = found
  if (shape.length === 1) {
    const length = shape[0]!
    const columns = Math.min(length, VECTOR_COLUMNS)
    const rows = Math.ceil(length / Math.max(1, columns))
    const index = (row: number, column: number): number => {
      const at = row * columns + column
      return at < length ? start + at : -1
    }
    return { answer, array, data, rows, columns, index }
  }
  const [rows = 0, columns = 0, channels = 1] = shape
  if (channel >= channels) return null
  return {
    answer, array, data, rows, columns,
    index: (row, column) => start + (row * columns + column) * channels + channel,
  }
}

/** A smaller picture of a plane: every second cell, or third, so that at most so many are left on a side. */
export function thinned(of: Plane, most: number): Plane {
  const step = Math.max(1, Math.ceil(Math.max(of.rows, of.columns) / most))
  return {
    ...of, rows: Math.ceil(of.rows / step), columns: Math.ceil(of.columns / step), index: (row, column) => of.index(row * step, column * step),
  }
}

/** Where a vector's value lies when it is wrapped into rows. */
export function wrapped(index: number, length: number): { row: number; column: number } {
  const columns = Math.max(1, Math.min(length, VECTOR_COLUMNS))
  return { row: Math.floor(index / columns), column: index % columns }
}
