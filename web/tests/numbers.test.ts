import { render } from 'svelte/server'
import { describe, expect, it } from 'vitest'
import { clamp, count, extents, factAt, flat, format, real } from '../src/numbers'
import Num from '../src/parts/Num.svelte'

describe('the text of a number', () => {
  it.each([[0, '0'], [-0, '0'], [3, '3'], [-3, '-3'], [16777216, '16777216'], [0.5, '0.5'], [-0.1, '-0.1'],
    [NaN, 'NaN'], [Infinity, '∞'], [-Infinity, '-∞']])('of %d is %s', (value, text) => {
    expect(format(value)).toBe(text)
  })

  it('read back, is the value within 1e-6 relative, over 75 orders of magnitude', () => {
    for (let exponent = -38; exponent <= 37; exponent++) {
      for (const digits of [1.2345678, -9.8765432, 3.3333333, 1.0000001]) {
        const value = Math.fround(digits * 10 ** exponent)
        expect(Math.abs(Number(format(value)) - value)).toBeLessThanOrEqual(1e-6 * Math.abs(value))
      }
    }
  })

  it('keeps counts, shapes and places plain', () => {
    expect(count(7080960)).toBe('7,080,960')
    expect(extents([28, 28, 1])).toBe('28 × 28 × 1')
    expect(flat([4, 3, 2], [1, 2, 1])).toBe(11)
    expect(clamp(9, 0, 3)).toBe(3)
    expect(clamp(5, 0, -4)).toBe(0) // a block of 4 in a map of 0 to 3 begins at 0
  })

  it('takes facts at dotted paths, NaN as a text', () => {
    const facts = { finite_difference: { largest: 'NaN', checked: 24 } }
    expect(real(factAt(facts, 'finite_difference.largest') as 'NaN')).toBeNaN()
    expect(factAt(facts, 'finite_difference.checked')).toBe(24)
    expect(factAt(facts, 'sum.of')).toBeUndefined()
  })
})

describe('Num', () => {
  const of = {
    question: 'lens?filter=0', facts: { bias: 0.30000001192092896, sum: 'Infinity' },
    arrays: { products: { name: 'products', shape: [2, 2], data: new Float32Array([1, 2, -0.123456789, NaN]) } },
  }

  it('says which question, array and index its text was taken from', () => {
    const { body } = render(Num, { props: { of, array: 'products', at: [1, 0] } })
    expect(body).toContain('data-question="lens?filter=0"')
    expect(body).toContain('data-array="products"')
    expect(body).toContain('data-index="2"')
    expect(body).toContain(`value="${Math.fround(-0.123456789)}"`)
    expect(body).toContain('>-0.1234568<')
  })
  it('names a fact by its path', () => {
    const { body } = render(Num, { props: { of, fact: 'bias' } })
    expect(body).toContain('data-fact="bias"')
    expect(body).toContain('value="0.30000001192092896"')
    expect(body).toContain('>0.3<')
  })
  it('shows what is not a number, and what is not there', () => {
    expect(render(Num, { props: { of, array: 'products', at: 3 } }).body).toContain('>NaN<')
    expect(render(Num, { props: { of, fact: 'sum' } }).body).toContain('>∞<')
    expect(render(Num, { props: { of, array: 'absent' } }).body).not.toContain('<data')
  })
})
