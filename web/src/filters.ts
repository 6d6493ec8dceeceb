/** Slices of filters: (r, s, C, K), or of those that training kept, (kept epochs, r, s, C, K). */

import { flat } from './numbers'
import type { Plane } from './plane'
import type { Answer } from './source/message'

/** One channel of one filter, (r, s); where there are several epochs, at one of them. */
export function filterPlane(
  answer: Answer<unknown>, array: string, kept: number, channel: number, filter: number,
): Plane | null {
  const found = answer.arrays[array]
  if (!found || found.shape.length < 4) return null
  const lead = found.shape.length === 5 ? [kept] : []
  const [rows = 0, columns = 0] = found.shape.slice(lead.length)
  return {
    answer, array, data: found.data, rows, columns,
    index: (row, column) => flat(found.shape, [...lead, row, column, channel, filter]),
  }
}
