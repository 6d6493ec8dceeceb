import { expect, test } from 'vitest'
import { isolated } from '../src/names'

test('a name that runs from right to left is isolated from what stands around it', () => {
  expect(isolated('כלב 3')).toBe('\u2068כלב 3\u2069')
  expect(isolated('قط')).toBe('\u2068قط\u2069')
  expect(isolated('𐤀')).toBe('\u2068𐤀\u2069')
})

test('any other name stays what it is', () => {
  for (const name of ['', 'cat', 'naïve 猫 🦓', 'Ωμέγα', 'кошка', '0']) expect(isolated(name)).toBe(name)
})
