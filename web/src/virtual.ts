/** Which tiles of a long grid are in sight. */

export interface GridWindow {
  /** first and last + 1 tile to draw */
  readonly first: number
  readonly last: number
  /** tiles in a row */
  readonly columns: number
  /** pixels of the whole grid, and above the first drawn tile */
  readonly height: number
  readonly above: number
}

/**
 * count: tiles; tile: width and height of one with its gap, pixels; view: width and height of what is seen;
 * top: scrolled by; extra: rows drawn beyond either edge.
 */
export function gridWindow(
  count: number, tile: readonly [number, number], view: readonly [number, number], top: number, extra = 1,
): GridWindow {
  const columns = Math.max(1, Math.floor(view[0] / tile[0]))
  const rows = Math.ceil(count / columns)
  const firstRow = Math.min(Math.max(0, Math.floor(top / tile[1]) - extra), Math.max(0, rows - 1))
  const lastRow = Math.min(rows, Math.ceil((top + view[1]) / tile[1]) + extra)
  return {
    first: Math.min(count, firstRow * columns),
    last: Math.min(count, Math.max(lastRow, firstRow + 1) * columns),
    columns,
    height: rows * tile[1],
    above: firstRow * tile[1],
  }
}

/** Where to scroll so that a tile is wholly in sight; `top` itself where it is already. */
export function reveal(index: number, columns: number, tileHeight: number, viewHeight: number, top: number): number {
  const start = Math.floor(index / columns) * tileHeight
  if (start < top) return start
  if (start + tileHeight > top + viewHeight) return start + tileHeight - viewHeight
  return top
}

/** The tile that a key leads to; null: not a key that moves. */
export function step(key: string, index: number, count: number, columns: number, page: number): number | null {
  const to: Record<string, number> = {
    ArrowLeft: index - 1,
    ArrowRight: index + 1,
    ArrowUp: index - columns < 0 ? index : index - columns,
    ArrowDown: index + columns >= count ? index : index + columns,
    PageUp: index - columns * page,
    PageDown: index + columns * page,
    Home: 0,
    End: count - 1,
  }
  const next = to[key]
  return next === undefined ? null : Math.min(Math.max(next, 0), Math.max(0, count - 1))
}
