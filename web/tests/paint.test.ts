import { describe, expect, it } from 'vitest'
import { diverging, reach } from '../src/colour'
import { cellSize, paint } from '../src/paint'
import { plane, wrapped } from '../src/plane'

const answer = {
  question: 'q', facts: {},
  arrays: {
    maps: { name: 'maps', shape: [2, 3, 2], data: new Float32Array([0, 9, 1, 9, -1, 9, 0.5, 9, NaN, 9, 2, 9]) },
    crops: { name: 'crops', shape: [2, 2, 1, 2, 3], data: Float32Array.from({ length: 24 }, (_, at) => at / 23) },
    vector: { name: 'vector', shape: [70], data: Float32Array.from({ length: 70 }, (_, at) => at) },
  },
}

describe('colours', () => {
  it('are centred on zero, and told apart by sign', () => {
    const [r, g, b] = diverging(0, 1)
    expect(Math.max(r, g, b) - Math.min(r, g, b)).toBeLessThan(5)
    const [negative, positive] = [diverging(-0.6, 1), diverging(0.6, 1)]
    expect(negative[0]).toBeGreaterThan(negative[2])
    expect(positive[2]).toBeGreaterThan(positive[0])
  })
  it('end at the limit, and survive a scale of nothing', () => {
    expect(diverging(5, 1)).toEqual(diverging(1, 1))
    expect(diverging(0, 0)).toEqual(diverging(0, 1))
    expect(reach(-3, 2)).toBe(3)
    expect(reach(NaN, Infinity)).toBe(0)
  })
  it('get darker from the middle to either end', () => {
    const light = (value: number): number => { const [r, g, b] = diverging(value, 1); return 0.2126 * r + 0.7152 * g + 0.0722 * b }
    for (let step = 0; step < 20; step++) {
      expect(light((step + 1) / 20)).toBeLessThan(light(step / 20))
      expect(light(-(step + 1) / 20)).toBeLessThan(light(-step / 20))
    }
  })
})

describe('planes', () => {
  it('slice without copying', () => {
    const one = plane(answer, 'maps', 1)!
    expect(one.data).toBe(answer.arrays.maps.data)
    expect([one.rows, one.columns, one.index(1, 2)]).toEqual([2, 3, 11])
    expect(plane(answer, 'maps', 2)).toBeNull()
  })
  it('pick one picture of many by leading indices', () => {
    expect(plane(answer, 'crops', 2, [1, 1])!.index(0, 1)).toBe(23)
    expect(plane(answer, 'crops', 0, [0, 1])!.index(0, 0)).toBe(6)
  })
  it('wrap vectors, with nothing after their end', () => {
    const one = plane(answer, 'vector')!
    expect([one.rows, one.columns, one.index(2, 5), one.index(2, 6)]).toEqual([3, 32, 69, -1])
    const at = wrapped(69, 70)
    expect(one.index(at.row, at.column)).toBe(69)
  })
})

describe('pixels', () => {
  it.each([1, 3, 8])('are squares of %i device pixels, one colour each', (cell) => {
    const one = plane(answer, 'maps', 0)!
    const bytes = paint(one, { kind: 'diverging', limit: 2 }, cell)
    expect(bytes.length).toBe(2 * 3 * cell * cell * 4)
    for (let y = 0; y < 2 * cell; y++) {
      for (let x = 0; x < 3 * cell; x++) {
        const value = one.data[one.index(Math.floor(y / cell), Math.floor(x / cell))]!
        if (Number.isNaN(value)) continue
        expect([...bytes.subarray((y * 3 * cell + x) * 4, (y * 3 * cell + x) * 4 + 4)]).toEqual([...diverging(value, 2), 255])
      }
    }
  })
  it('hatch what is not a number in two colours', () => {
    const bytes = paint(plane(answer, 'maps', 0)!, { kind: 'diverging', limit: 2 }, 8)
    const colours = new Set<string>()
    for (let y = 8; y < 16; y++) for (let x = 8; x < 16; x++) colours.add(bytes.subarray((y * 24 + x) * 4, (y * 24 + x) * 4 + 3).join())
    expect(colours.size).toBe(2)
  })
  it('fit the size that is wanted, but are never less than one device pixel', () => {
    expect(cellSize(28, 96, 1)).toBe(3)
    expect(cellSize(28, 96, 2)).toBe(6)
    expect(cellSize(224, 96, 1)).toBe(1)
  })
})
