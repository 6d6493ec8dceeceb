import { describe, expect, it } from 'vitest'
import { arrayEnds } from '../src/ends'

const of = (values: number[]): Parameters<typeof arrayEnds>[0] =>
  ({ question: 'q', facts: {}, arrays: { a: { name: 'a', shape: [values.length], data: new Float32Array(values) } } })

describe('the ends of a scale', () => {
  it('are places in the array, so that its limits are numbers of the network', () => {
    expect(arrayEnds(of([2, -3, 5, 5]), 'a')).toEqual({ low: { array: 'a', at: 1 }, high: { array: 'a', at: 2 }, minimum: -3, maximum: 5 })
  })
  it('pass over what is not finite', () => {
    expect(arrayEnds(of([NaN, 2, Infinity, -1, NaN]), 'a')).toMatchObject({ minimum: -1, maximum: 2 })
  })
  it('say so where nothing is finite', () => {
    expect(arrayEnds(of([NaN, NaN]), 'a')).toMatchObject({ low: { at: 0 }, minimum: NaN, maximum: NaN })
  })
})
