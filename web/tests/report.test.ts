import { describe, expect, it } from 'vitest'
import { bytes, duration, written } from '../src/report/figures'
import { en } from '../src/report/strings/en'
import { zh } from '../src/report/strings/zh'
import { holes, texts } from './catalogues'

describe('figures', () => {
  it('are written as the command line writes them', () => {
    expect(written(0.98765, 'percent')).toBe('98.77 %')
    expect(written(0.1557234, 'points')).toBe('15.57')
    expect(written(1234567, 'count')).toBe('1,234,567')
    expect(written(1.0461585, 'number')).toBe('1.046')
    expect(written(0.00001234, 'number')).toBe('1.234e-5')
    expect(written(0, 'number')).toBe('0')
  })
  it('of time name the two largest units', () => {
    const units = ['h', 'min', 's'] as const
    expect(duration(0.84, units)).toBe('0.8 s')
    expect(duration(59.6, units)).toBe('1 min 0 s')
    expect(duration(402, units)).toBe('6 min 42 s')
    expect(duration(7265, units)).toBe('2 h 1 min')
  })
  it('of grids are bytes', () => {
    expect([...bytes(btoa('\u0000\u00ff\u0007'))]).toEqual([0, 255, 7])
  })
})

describe('the catalogues of a report', () => {
  const [english, chinese] = [texts(en), texts(zh)]
  it('hold the same texts, none of them empty', () => {
    const keys = (found: Map<string, string>): string[] => [...found.keys()].filter((key) => !key.startsWith('check.codes.')).sort()
    expect(keys(chinese)).toEqual(keys(english))
    for (const [key, text] of [...english, ...chinese]) expect(text.trim(), key).not.toBe('')
  })
  it('fill the same parts into the same sentences', () => {
    for (const [key, text] of english) expect(holes(chinese.get(key)), key).toEqual(holes(text))
  })
  it('are Chinese where they say so', () => {
    const same = [...chinese].filter(([key, text]) => text === english.get(key) && text.length > 8)
    expect(same).toEqual([])
  })
})
