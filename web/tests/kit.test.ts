import { describe, expect, it } from 'vitest'
import { roomsShown } from '../src/kit/rooms'
import { themeOf } from '../src/kit/theme'

const ROOMS = ['overview', 'lens', 'pooling'] as const

describe('the rooms that a teacher left in', () => {
  it('are all without a word', () => {
    expect(roomsShown('?token=abc', ROOMS)).toEqual(ROOMS)
  })
  it('are named by number or name, and keep their order', () => {
    expect(roomsShown('?token=abc&rooms=3,2', ROOMS)).toEqual(['lens', 'pooling'])
    expect(roomsShown('?rooms=pooling', ROOMS)).toEqual(['pooling'])
  })
  it('are all where none of those named is there', () => {
    expect(roomsShown('?rooms=12,cellar', ROOMS)).toEqual(ROOMS)
    expect(roomsShown('?rooms=', ROOMS)).toEqual(ROOMS)
  })
})

describe('the theme of a notebook', () => {
  function page(root: Record<string, string>, body: Record<string, string>): [HTMLElement, HTMLElement] {
    const make = (dataset: Record<string, string>): HTMLElement =>
      ({ dataset, getAttribute: (name: string) => dataset[name] ?? null }) as unknown as HTMLElement
    return [make(root), make(body)]
  }
  it('is what JupyterLab says', () => {
    expect(themeOf(...page({}, { jpThemeLight: 'false' }))).toBe('dark')
    expect(themeOf(...page({}, { jpThemeLight: 'true' }))).toBe('light')
  })
  it('is what Visual Studio Code and Colab say', () => {
    expect(themeOf(...page({}, { vscodeThemeKind: 'vscode-dark' }))).toBe('dark')
    expect(themeOf(...page({}, { vscodeThemeKind: 'vscode-high-contrast-light' }))).toBe('light')
    expect(themeOf(...page({ theme: 'dark' }, {}))).toBe('dark')
  })
  it('is the system’s where nobody says', () => {
    expect(themeOf(...page({}, {}))).toBe(null)
  })
})
