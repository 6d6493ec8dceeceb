import { describe, expect, it } from 'vitest'
import { move, padding, seenBy, taps, windowBox, windowCells } from '../src/geometry'
import { gridWindow, reveal, step } from '../src/virtual'
import { allLines, convolutionLines, layout, nearest, unitY } from '../src/wiring'

const plain = { kernel: [3, 3], stride: [1, 1], dilation: [1, 1], before: [0, 0], after: [0, 0] } as const
const odd = { kernel: [3, 2], stride: [2, 3], dilation: [1, 4], before: [1, 2], after: [1, 0] } as const
const copy = (window: typeof plain | typeof odd): Parameters<typeof taps>[0] => structuredClone(window) as never

describe('windows', () => {
  it('lie where the output cell says', () => {
    expect(windowBox(copy(plain), 1, 3)).toEqual({ row: 1, column: 3, height: 3, width: 3 })
    expect(windowCells(copy(plain), 1, 3)).toHaveLength(1)
  })
  it('follow stride, padding, dilation and rectangles', () => {
    expect(taps(copy(odd), 0, 0)).toEqual([-1, 0, 1])
    expect(taps(copy(odd), 1, 2)).toEqual([4, 8])
    expect(windowBox(copy(odd), 0, 2)).toEqual({ row: -1, column: 4, height: 3, width: 5 })
  })
  it('of a filter see the channels of its group', () => {
    expect(seenBy({ input: [5, 5, 6], output: [5, 5, 4], groups: 1 }, 3)).toEqual({ first: 0, count: 6 })
    expect(seenBy({ input: [5, 5, 6], output: [5, 5, 4], groups: 2 }, 1)).toEqual({ first: 0, count: 3 })
    expect(seenBy({ input: [5, 5, 6], output: [5, 5, 4], groups: 2 }, 2)).toEqual({ first: 3, count: 3 })
    expect(seenBy({ input: [5, 5, 6], output: [5, 5, 12], groups: 6 }, 7)).toEqual({ first: 3, count: 1 })
  })
  it('show the gaps of dilation cell by cell', () => {
    const cells = windowCells(copy(odd), 1, 0)
    expect(cells.map(({ row, column }) => [row, column])).toEqual([[1, -2], [1, 2], [2, -2], [2, 2], [3, -2], [3, 2]])
    expect(cells.every(({ height, width }) => height === 1 && width === 1)).toBe(true)
  })
  it('reach into padding on the sides that have it', () => {
    expect(padding(copy(odd))).toEqual([1, 2, 1, 0])
    expect(padding(null)).toEqual([0, 0, 0, 0])
  })
  it('stay in the map when keys move them', () => {
    expect(move('ArrowUp', { row: 0, column: 2 }, 4, 4)).toEqual({ row: 0, column: 2 })
    expect(move('ArrowRight', { row: 0, column: 2 }, 4, 4)).toEqual({ row: 0, column: 3 })
    expect(move('End', { row: 0, column: 0 }, 4, 5)).toEqual({ row: 3, column: 4 })
    expect(move('a', { row: 0, column: 0 }, 4, 5)).toBeNull()
  })
})

describe('a virtual grid', () => {
  it('draws only what is in sight, and every tile somewhere', () => {
    const drawn = new Set<number>()
    for (let top = 0; top <= 64 * 100 - 300; top += 100) {
      const seen = gridWindow(512, [100, 100], [850, 300], top)
      expect(seen.columns).toBe(8)
      expect(seen.last - seen.first).toBeLessThanOrEqual(8 * 7)
      for (let tile = seen.first; tile < seen.last; tile++) drawn.add(tile)
      expect(seen.above).toBe((seen.first / 8) * 100)
    }
    expect(drawn.size).toBe(512)
    expect(gridWindow(512, [100, 100], [850, 300], 0).height).toBe(6400)
  })
  it('has at least one column, and nothing of nothing', () => {
    expect(gridWindow(3, [100, 50], [20, 300], 0)).toMatchObject({ columns: 1, first: 0, last: 3 })
    expect(gridWindow(0, [100, 50], [200, 300], 0)).toMatchObject({ first: 0, last: 0, height: 0 })
  })
  it('scrolls no further than needed', () => {
    expect(reveal(0, 8, 100, 300, 250)).toBe(0)
    expect(reveal(40, 8, 100, 300, 0)).toBe(300)
    expect(reveal(10, 8, 100, 300, 50)).toBe(50)
  })
  it('is walked by keys', () => {
    expect(step('ArrowDown', 3, 20, 8, 3)).toBe(11)
    expect(step('ArrowDown', 15, 20, 8, 3)).toBe(15)
    expect(step('ArrowUp', 3, 20, 8, 3)).toBe(3)
    expect(step('PageDown', 3, 20, 8, 3)).toBe(19)
    expect(step('End', 3, 20, 8, 3)).toBe(19)
    expect(step('x', 3, 20, 8, 3)).toBeNull()
  })
})

describe('a wired layer', () => {
  const edges = new Float32Array([0, 0, 0, 0.5, 0, 1, 1, -1, 1, 1, 0, 0.5, 1, 2, 1, -1]) // 3 inputs, 2 outputs, 2 taps
  const kept = convolutionLines(edges)

  it('keeps the edges of the answer, and knows all pairs', () => {
    expect(kept.map(({ output, input, tap }) => [output, input, tap])).toEqual([[0, 0, 0], [0, 1, 1], [1, 1, 0], [1, 2, 1]])
    const all = allLines(3, 2, kept)
    expect(all).toHaveLength(6)
    expect(all.filter(({ edge }) => edge < 0).map(({ output, input }) => [output, input])).toEqual([[0, 2], [1, 0]])
  })
  it('finds the edge that is pointed at', () => {
    const shape = layout(36, 16)
    expect(nearest(kept, shape, 0, unitY(shape, 0, 2))).toBe(kept[3])
    expect(nearest(kept, shape, 1, unitY(shape, 1, 0))!.output).toBe(0)
    expect(nearest(kept, shape, 0, unitY(shape, 0, 30))).toBeNull()
  })
})
