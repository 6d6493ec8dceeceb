import { describe, expect, it } from 'vitest'
import { chart, nearest, spaced } from '../src/chart'

const size = { width: 100, height: 50 }
const line = (...values: (number | 'NaN' | null)[]) => values.map((value, index) => ({ epoch: index + 1, value }))

describe('a chart', () => {
  it('runs from epoch 0 to the last, and from the floor to the largest value', () => {
    const drawn = chart([line(2, 1)], size, 0)
    expect(drawn.lines[0]!.path).toBe('M50 0L100 25')
    expect(drawn.lines[0]!.end).toEqual({ x: 100, y: 25 })
    expect(drawn.y(0)).toBe(50)
    expect(drawn.epoch(50)).toBe(1)
  })

  it('names the line and the point of its smallest and largest value', () => {
    const drawn = chart([line(0.5, 0.75), line(0.25, 1)], size)
    expect(drawn.low).toEqual({ line: 1, point: 0 })
    expect(drawn.high).toEqual({ line: 1, point: 1 })
    expect(drawn.y(0.25)).toBe(50)
    expect(drawn.y(1)).toBe(0)
  })

  it('leaves a gap where a value is missing or not a number', () => {
    const drawn = chart([line(1, null, 1, 'NaN', 0)], size, 0)
    expect(drawn.lines[0]!.path).toBe('M20 0M60 0M100 50')
    expect(drawn.y('NaN')).toBeNull()
    expect(drawn.y(null)).toBeNull()
  })

  it('stands without a value, and with one value only', () => {
    expect(chart([line(null)], size).low).toBeNull()
    expect(chart([[]], size).lines[0]!).toEqual({ path: '', end: null })
    expect(chart([line(3)], size).lines[0]!.path).toBe('M100 50')
  })

  it('keeps epochs within its width', () => {
    expect(chart([line(1, 2, 3)], size).x(9)).toBe(100)
    expect(chart([line(1, 2, 3)], size).x(-1)).toBe(0)
  })
})

it('labels nearer than allowed give way to more important ones', () => {
  const labels = [{ y: 0 }, { y: 48 }, { y: 40 }, { y: 20 }]
  expect(spaced(labels, 14)).toEqual([{ y: 0 }, { y: 48 }, { y: 20 }])
})

it('a click chooses the nearest epoch that was kept', () => {
  expect(nearest([0, 1, 5, 10], 6.4)).toBe(2)
  expect(nearest([0, 1, 5, 10], 7.5)).toBe(2)
  expect(nearest([0, 1, 5, 10], 99)).toBe(3)
  expect(nearest([], 3)).toBe(-1)
})
