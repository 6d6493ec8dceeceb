import { describe, expect, it } from 'vitest'
import { beyond, cellUnder, dragged, fitted, holds, nudged, spanned, within, written } from '../src/drag'

const image = { step: 1, rows: 28, columns: 28 }
const saved = { step: 4, rows: 8, columns: 8 }

describe('dragging in whole pixels', () => {
  it('turns CSS pixels into pixels of the image, rounded', () => {
    expect(dragged({ rows: 0, columns: 0 }, 20, -13, 8, image)).toEqual({ rows: -2, columns: 3 })
  })

  it('goes on from where the shift was when the pointer came down', () => {
    expect(dragged({ rows: 3, columns: -2 }, 16, 8, 8, image)).toEqual({ rows: 4, columns: 0 })
  })

  it('gives only what a saved page holds: multiples of its step, no further than it goes', () => {
    expect(within({ rows: 5, columns: -7 }, saved)).toEqual({ rows: 4, columns: -8 })
    expect(within({ rows: 100, columns: -100 }, saved)).toEqual({ rows: 8, columns: -8 })
    expect(within({ rows: 99, columns: 0 }, { step: 4, rows: 10, columns: 10 }).rows).toBe(8)
  })

  it('never writes -0, which would be another question', () => {
    expect(Object.is(within({ rows: -0.4, columns: 0 }, image).rows, 0)).toBe(true)
  })

  it('moves by arrow keys, five steps with Shift, back with Home', () => {
    expect(nudged('ArrowUp', { rows: 0, columns: 0 }, image, false)).toEqual({ rows: -1, columns: 0 })
    expect(nudged('ArrowRight', { rows: 0, columns: 1 }, image, true)).toEqual({ rows: 0, columns: 6 })
    expect(nudged('ArrowDown', { rows: 0, columns: 0 }, saved, false)).toEqual({ rows: 4, columns: 0 })
    expect(nudged('Home', { rows: 3, columns: 9 }, image, false)).toEqual({ rows: 0, columns: 0 })
    expect(nudged('Tab', { rows: 0, columns: 0 }, image, false)).toBeNull()
  })
})

describe('boxes', () => {
  it('span two cells, whichever comes first', () => {
    const box = { row: 2, column: 1, height: 4, width: 5 }
    expect(spanned({ row: 2, column: 5 }, { row: 5, column: 1 })).toEqual(box)
    expect(spanned({ row: 5, column: 1 }, { row: 2, column: 5 })).toEqual(box)
    expect(written(box)).toBe('2,1,4,5')
  })

  it('are held where they have moved to', () => {
    const box = { row: 2, column: 2, height: 3, width: 3 }
    expect(holds(box, { rows: 0, columns: 0 }, { row: 4, column: 4 })).toBe(true)
    expect(holds(box, { rows: 5, columns: 0 }, { row: 4, column: 4 })).toBe(false)
    expect(holds(box, { rows: 5, columns: 0 }, { row: 7, column: 4 })).toBe(true)
  })

  it('are brought onto the image, at least one cell large', () => {
    expect(fitted({ row: -3, column: 30, height: 0, width: 9 }, 28, 28)).toEqual({ row: 0, column: 27, height: 1, width: 1 })
    expect(fitted({ row: 20, column: 4, height: 20, width: 5 }, 28, 28)).toEqual({ row: 20, column: 4, height: 8, width: 5 })
  })

  it('begin in the cell under the pointer, or the nearest one', () => {
    expect(cellUnder(17, 8, 8, 28, 28)).toEqual({ row: 1, column: 2 })
    expect(cellUnder(-5, 999, 8, 28, 20)).toEqual({ row: 27, column: 0 })
  })
})

describe('what of a crop lies beyond the image', () => {
  it('is nothing for a field inside', () => {
    expect(beyond([3, 4, 5, 5], [5, 5], [28, 28])).toEqual([])
  })

  it('is a strip on each side that the field left', () => {
    expect(beyond([-2, 25, 5, 5], [5, 5], [28, 28])).toEqual([
      { row: 0, column: 0, height: 2, width: 5 },
      { row: 2, column: 3, height: 3, width: 2 },
    ])
    expect(beyond([25, -1, 5, 5], [5, 5], [28, 28])).toEqual([
      { row: 3, column: 0, height: 2, width: 5 },
      { row: 0, column: 0, height: 3, width: 1 },
    ])
  })

  it('is nothing along an axis on which the crop was cut to the image', () => {
    expect(beyond([-5, -5, 38, 38], [28, 28], [28, 28])).toEqual([])
  })
})
