import { describe, expect, it } from 'vitest'
import { en } from '../src/strings/en'
import { zh } from '../src/strings/zh'
import { ROOMS } from '../src/state.svelte'
import { holes, texts } from './catalogues'

const [english, chinese] = [texts(en), texts(zh)]

describe('the catalogues', () => {
  it('hold the same texts', () => {
    expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort())
    expect(english.size).toBeGreaterThan(200)
  })
  it('leave no text empty', () => {
    for (const [key, text] of [...english, ...chinese]) expect(text.trim(), key).not.toBe('')
  })
  it('fill the same parts into the same sentences', () => {
    for (const [key, text] of english) expect(holes(chinese.get(key)), key).toEqual(holes(text))
  })
  it('are Chinese where they say so', () => {
    const allowed = /^[\sA-Za-z0-9×÷=→…·,.:;()%/-]*$/ // units, names of functions
    const untranslated = [...chinese].filter(([, text]) => !/[\u4e00-\u9fff]/.test(text) && !allowed.test(text))
    expect(untranslated).toEqual([])
    const same = [...chinese].filter(([key, text]) => text === english.get(key) && text.length > 12)
    expect(same).toEqual([])
  })
  it('name every room', () => {
    expect(Object.keys(en.rooms)).toEqual([...ROOMS])
  })
  it('hold no number of a network: those come from answers', () => {
    for (const [key, text] of [...english, ...chinese]) expect(text, key).not.toMatch(/\d\.\d/)
  })
})
