/** Dragging in whole pixels of an image, and boxes on it. Positions only. */

import type { Box, Place } from './geometry'

export interface Shift {
  readonly rows: number
  readonly columns: number
}

/** How far things may move: `most` pixels to each side of an image, in multiples of `step`. */
export interface Limits {
  readonly step: number
  readonly rows: number
  readonly columns: number
}

export function within(shift: Shift, limits: Limits): Shift {
  return { rows: snap(shift.rows, limits.step, limits.rows), columns: snap(shift.columns, limits.step, limits.columns) }
}

function snap(value: number, step: number, most: number): number {
  const furthest = Math.floor(most / step)
  const steps = Math.min(furthest, Math.max(-furthest, Math.round(value / step)))
  return steps * step + 0 // no -0
}

/** Where a shift is after the pointer moved by (x, y) CSS pixels; unit: CSS pixels of one of the image's. */
export function dragged(start: Shift, x: number, y: number, unit: number, limits: Limits): Shift {
  return within({ rows: start.rows + y / unit, columns: start.columns + x / unit }, limits)
}

/** Where an arrow key moves to; Home goes back; null: not a key that moves. */
export function nudged(key: string, from: Shift, limits: Limits, far: boolean): Shift | null {
  const by = limits.step * (far ? 5 : 1)
  const to: Record<string, Shift> = {
    ArrowUp: { rows: from.rows - by, columns: from.columns },
    ArrowDown: { rows: from.rows + by, columns: from.columns },
    ArrowLeft: { rows: from.rows, columns: from.columns - by },
    ArrowRight: { rows: from.rows, columns: from.columns + by },
    Home: { rows: 0, columns: 0 },
  }
  const next = to[key]
  return next ? within(next, limits) : null
}

/** The box between two cells, both inside. */
export function spanned(from: Place, to: Place): Box {
  const row = Math.min(from.row, to.row)
  const column = Math.min(from.column, to.column)
  return { row, column, height: Math.abs(from.row - to.row) + 1, width: Math.abs(from.column - to.column) + 1 }
}

/** The cell of a picture under a point, held inside; offset in CSS pixels from its corner. */
export function cellUnder(x: number, y: number, unit: number, rows: number, columns: number): Place {
  const inside = (value: number, count: number): number => Math.min(count - 1, Math.max(0, Math.floor(value / unit)))
  return { row: inside(y, rows), column: inside(x, columns) }
}

export function holds(box: Box, shift: Shift, place: Place): boolean {
  const row = place.row - box.row - shift.rows
  const column = place.column - box.column - shift.columns
  return row >= 0 && column >= 0 && row < box.height && column < box.width
}

/** A box that lies on an image of rows × columns, at least one cell large. */
export function fitted(box: Box, rows: number, columns: number): Box {
  const row = Math.min(Math.max(0, box.row), rows - 1)
  const column = Math.min(Math.max(0, box.column), columns - 1)
  return {
    row, column,
    height: Math.min(Math.max(1, box.height), rows - row),
    width: Math.min(Math.max(1, box.width), columns - column),
  }
}

/** As the question `shift` writes a box. */
export function written(box: Box): string {
  return [box.row, box.column, box.height, box.width].join(',')
}

/**
 * The parts of a crop that lie beyond the image, as boxes in the crop's cells.
 * field: top, left, height, width of the receptive field; crop, image: rows, columns. A crop smaller than the field was
 * cut to the image, and has no such parts along that axis.
 */
export function beyond(
  field: readonly [number, number, number, number], crop: readonly [number, number], image: readonly [number, number],
): Box[] {
  const side = (axis: 0 | 1): [number, number] => {
    if (field[axis + 2]! > crop[axis]) return [0, 0]
    const before = Math.max(0, -field[axis]!)
    const after = Math.max(0, field[axis]! + field[axis + 2]! - image[axis])
    return [Math.min(before, crop[axis]), Math.min(after, crop[axis])]
  }
  const [top, bottom] = side(0)
  const [left, right] = side(1)
  const [height, width] = crop
  return [
    { row: 0, column: 0, height: top, width },
    { row: height - bottom, column: 0, height: bottom, width },
    { row: top, column: 0, height: height - top - bottom, width: left },
    { row: top, column: width - right, height: height - top - bottom, width: right },
  ].filter((box) => box.height > 0 && box.width > 0)
}
