/** A line chart's geometry. The ends of its axes are values of the data, so that every label is a number of the run. */

import { real } from './numbers'
import { linear } from './scale'
import type { Real } from './source/answers'

export interface Point {
  readonly epoch: number
  readonly value: Real | null
}

export interface Size {
  readonly width: number
  readonly height: number
}

export interface Line {
  /** SVG path; a value that is missing or not finite leaves a gap */
  readonly path: string
  /** the last point that was drawn, for the line's name */
  readonly end: { readonly x: number; readonly y: number } | null
}

export interface Chart {
  readonly lines: readonly Line[]
  x(epoch: number): number
  /** where a value stands; null: nowhere */
  y(value: Real | null | undefined): number | null
  /** the epoch at a horizontal place */
  epoch(x: number): number
  /** which line and point hold the smallest and the largest value; null: there is no value */
  readonly low: { readonly line: number; readonly point: number } | null
  readonly high: { readonly line: number; readonly point: number } | null
}

/** floor, ceiling: values that the axis reaches whatever the data hold. */
export function chart(lines: readonly (readonly Point[])[], size: Size, floor?: number, ceiling?: number): Chart {
  const all = lines.flatMap((line, which) =>
    line.map(({ epoch, value }, point) => ({ epoch, value: real(value), line: which, point })))
  const drawn = all.filter(({ value }) => Number.isFinite(value))
  const low = drawn.reduce((least, one) => (one.value < least.value ? one : least), drawn[0]!)
  const high = drawn.reduce((most, one) => (one.value > most.value ? one : most), drawn[0]!)
  const epochs = all.map(({ epoch }) => epoch)
  const horizontal = linear([Math.min(0, ...epochs), Math.max(1, ...epochs)], [0, size.width])
  const from = Math.min(floor ?? Infinity, low?.value ?? 0)
  const to = Math.max(ceiling ?? -Infinity, high?.value ?? 1)
  const vertical = linear([from, to > from ? to : from + 1], [size.height, 0])
  const y = (value: Real | null | undefined): number | null => {
    const given = real(value)
    return Number.isFinite(given) ? vertical.to(given) : null
  }
  return {
    lines: lines.map((line) => draw(line.map(({ epoch, value }) => [horizontal.to(epoch), y(value)]))),
    x: (epoch) => horizontal.to(epoch),
    y,
    epoch: (x) => horizontal.from(x),
    low: low ? { line: low.line, point: low.point } : null,
    high: high ? { line: high.line, point: high.point } : null,
  }
}

function draw(points: readonly [number, number | null][]): Line {
  let path = ''
  let down = false
  let end: Line['end'] = null
  for (const [x, y] of points) {
    if (y === null) {
      down = false
      continue
    }
    path += `${down ? 'L' : 'M'}${round(x)} ${round(y)}`
    down = true
    end = { x, y }
  }
  return { path, end }
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}

/** Those of some labels, in the order of their importance, that do not stand nearer than `least` to one before. */
export function spaced<T extends { readonly y: number }>(labels: readonly T[], least: number): T[] {
  const placed: T[] = []
  for (const label of labels) {
    if (placed.every((other) => Math.abs(other.y - label.y) >= least)) placed.push(label)
  }
  return placed
}

/** The value of `kept` that is nearest to an epoch, the earlier of two: its index; -1 if there is none. */
export function nearest(kept: readonly number[], epoch: number): number {
  let best = -1
  for (const [index, one] of kept.entries()) {
    if (best < 0 || Math.abs(one - epoch) < Math.abs(kept[best]! - epoch)) best = index
  }
  return best
}
