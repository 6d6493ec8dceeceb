/** Where windows lie. Only places are computed here, no values. */

import type { LayerFacts, WindowFacts } from './source/answers'

export interface Box {
  readonly row: number
  readonly column: number
  readonly height: number
  readonly width: number
}

/** Input rows (axis 0) or columns (axis 1) that the window of one output place meets; outside the image on padding. */
export function taps(window: WindowFacts, axis: 0 | 1, place: number): number[] {
  const first = place * window.stride[axis] - window.before[axis]
  return Array.from({ length: window.kernel[axis] }, (_, tap) => first + tap * window.dilation[axis])
}

/** The smallest box around the window of an output cell. */
export function windowBox(window: WindowFacts, row: number, column: number): Box {
  const rows = taps(window, 0, row)
  const columns = taps(window, 1, column)
  return {
    row: rows[0]!,
    column: columns[0]!,
    height: rows.at(-1)! - rows[0]! + 1,
    width: columns.at(-1)! - columns[0]! + 1,
  }
}

/** The cells of a window, one box each where dilation leaves gaps, else one box in all. */
export function windowCells(window: WindowFacts, row: number, column: number): Box[] {
  const box = windowBox(window, row, column)
  if (box.height === window.kernel[0] && box.width === window.kernel[1]) return [box]
  return taps(window, 0, row).flatMap((r) =>
    taps(window, 1, column).map((c) => ({ row: r, column: c, height: 1, width: 1 })),
  )
}

/** Cells of padding around an input of `rows` × `columns` that windows reach: [top, left, bottom, right]. */
export function padding(window: WindowFacts | null): [number, number, number, number] {
  return window ? [...window.before, ...window.after] : [0, 0, 0, 0]
}

/** The channels of its input that a filter of a convolution looks at: those of its group, from `first` on. */
export function seenBy(layer: Pick<LayerFacts, 'input' | 'output' | 'groups'>, filter: number): { first: number; count: number } {
  const count = (layer.input[2] ?? 1) / layer.groups
  return { first: Math.floor(filter / ((layer.output[2] ?? 1) / layer.groups)) * count, count }
}

export interface Place {
  readonly row: number
  readonly column: number
}

/** Move by arrow keys, Home and End; within a grid of `rows` × `columns`. Null: not a key that moves. */
export function move(key: string, at: Place, rows: number, columns: number): Place | null {
  const inside = (row: number, column: number): Place => ({
    row: Math.min(Math.max(row, 0), rows - 1),
    column: Math.min(Math.max(column, 0), columns - 1),
  })
  switch (key) {
    case 'ArrowLeft': return inside(at.row, at.column - 1)
    case 'ArrowRight': return inside(at.row, at.column + 1)
    case 'ArrowUp': return inside(at.row - 1, at.column)
    case 'ArrowDown': return inside(at.row + 1, at.column)
    case 'Home': return inside(0, 0)
    case 'End': return inside(rows - 1, columns - 1)
    default: return null
  }
}
