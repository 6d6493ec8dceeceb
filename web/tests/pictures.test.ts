import { describe, expect, it } from 'vitest'
import { diverging } from '../src/colour'
import { ends, largest } from '../src/ends'
import { filterPlane } from '../src/filters'
import { cover, overlay } from '../src/overlay'
import { plane } from '../src/plane'
import type { Answer } from '../src/source/message'

function answer(arrays: Record<string, { shape: number[]; data: number[] }>): Answer {
  return {
    question: 'test', facts: {},
    arrays: Object.fromEntries(Object.entries(arrays).map(([name, { shape, data }]) => [name, { name, shape, data: Float32Array.from(data) }])),
  }
}

describe('the ends of a scale', () => {
  it('stand where the smallest and the largest value of all planes stand', () => {
    const one = answer({ before: { shape: [1, 2], data: [3, -1] }, map: { shape: [1, 2], data: [0, 7] } })
    expect(ends([plane(one, 'before')!, plane(one, 'map')!])).toEqual({
      low: { array: 'before', at: 1 }, high: { array: 'map', at: 1 }, minimum: -1, maximum: 7,
    })
  })

  it('leave out what is not finite', () => {
    const one = answer({ map: { shape: [1, 4], data: [NaN, 2, Infinity, 1] } })
    expect(ends([plane(one, 'map')!])).toMatchObject({ low: { at: 3 }, high: { at: 1 } })
    expect(ends([plane(answer({ map: { shape: [1, 1], data: [NaN] } }), 'map')!])).toBeNull()
  })

  it('list the largest values, the first of equal ones first', () => {
    expect(largest([0.1, 0.4, 0.1, 0.4], 3)).toEqual([1, 3, 0])
  })
})

it('a plane of a filter is its channel at a kept epoch', () => {
  const shape = [2, 2, 3, 2, 4] // kept epochs, rows, columns, channels, filters
  const one = answer({ 'filters/0': { shape, data: Array.from({ length: 96 }, (_, index) => index) } })
  const cut = filterPlane(one, 'filters/0', 1, 1, 2)!
  expect([cut.rows, cut.columns]).toEqual([2, 3])
  expect(cut.data[cut.index(1, 2)]).toBe(48 + (1 * 3 + 2) * 8 + 1 * 4 + 2)
  expect(filterPlane(one, 'filters/9', 0, 0, 0)).toBeNull()
})

describe('a heat over an image', () => {
  it('covers nothing where it is zero or not a number, most where it is strongest', () => {
    expect(cover(0, 2)).toBe(0)
    expect(cover(NaN, 2)).toBe(0)
    expect(cover(1, 0)).toBe(0)
    expect(cover(-2, 2)).toBe(cover(2, 2))
    expect(cover(1, 2)).toBeCloseTo(cover(2, 2) / 2)
  })

  it('shows the image through where it is zero, and its own colour elsewhere', () => {
    const one = answer({ image: { shape: [1, 2, 1], data: [1, 0] }, heat: { shape: [1, 2], data: [0, 3] } })
    const bytes = overlay(plane(one, 'image')!, false, plane(one, 'heat')!, 3, 2)
    expect(bytes.length).toBe(2 * 4 * 4)
    expect([...bytes.subarray(0, 4)]).toEqual([255, 255, 255, 255])
    const strongest = diverging(3, 3).map((part) => Math.round(part * cover(3, 3)))
    expect([...bytes.subarray(8, 12)]).toEqual([...strongest, 255])
  })

  it('takes the three colours of a colour image', () => {
    const one = answer({ image: { shape: [1, 1, 3], data: [1, 0.2, 0] }, heat: { shape: [1, 1], data: [0] } })
    expect([...overlay(plane(one, 'image')!, true, plane(one, 'heat')!, 1, 1)]).toEqual([255, 51, 0, 255])
  })
})
