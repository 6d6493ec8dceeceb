/** How the network's numbers are written: enough digits that the text, read back, is the value within 1e-6. */

import type { Real } from './source/answers'

const DIGITS = 7 // a float32 holds a little more than seven

/** The text of a value: integers plain, NaN and infinity visible, ASCII minus, no trailing zeros. */
export function format(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '-∞'
  if (value === 0) return '0' // also -0
  return String(Number.isSafeInteger(value) ? value : Number(value.toPrecision(DIGITS)))
}

/** A value in three digits, for places that are narrow; whoever shows it lets all digits be had as well. */
export function short(value: number): string {
  if (!Number.isFinite(value) || Number.isSafeInteger(value)) return format(value)
  const size = Math.abs(value)
  if (size < 0.01 || size >= 1e6) return value.toExponential(1).replace('e+', 'e')
  return String(size >= 1000 ? Math.round(value) : Number(value.toPrecision(3)))
}

/** A number from facts, where NaN and infinity are texts. */
export function real(value: Real | null | undefined): number {
  return typeof value === 'number' ? value : Number(value ?? NaN)
}

const GROUPED = new Intl.NumberFormat('en')

/** A count, with commas between thousands. */
export function count(value: number): string {
  return GROUPED.format(value)
}

/** Extents as people write them: 28 × 28 × 1. */
export function extents(shape: readonly number[]): string {
  return shape.map(count).join(' × ')
}

/** Row-major index of a place in an array. */
export function flat(shape: readonly number[], place: readonly number[]): number {
  let index = 0
  for (const [axis, extent] of shape.entries()) index = index * extent + (place[axis] ?? 0)
  return index
}

/** A value at a dotted path in facts. */
export function factAt(facts: unknown, path: string): unknown {
  let value = facts
  for (const key of path.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Record<string, unknown>)[key]
  }
  return value
}

export function clamp(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), Math.max(low, high))
}
