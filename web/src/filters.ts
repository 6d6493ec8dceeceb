/** Slices of the filters that training kept: (kept epochs, r, s, C, K). */

import { flat } from './numbers'
import type { Plane } from './plane'
import type { Answer } from './source/message'

/** One channel of one filter at one kept epoch, (r, s). */
export function filterPlane(
  answer: Answer<unknown>, array: string, kept: number, channel: number, filter: number,
): Plane | null {
  const found = answer.arrays[array]
  if (!found || found.shape.length !== 5) return null
  const [, rows = 0, columns = 0] = found.shape
  return {
    answer, array, data: found.data, rows, columns,
    index: (row, column) => flat(found.shape, [kept, row, column, channel, filter]),
  }
}
