import { describe, expect, it } from 'vitest'
import { Drawing, imageIn, sheet } from '../src/drawing'

const rows = (drawing: Drawing): number[][] =>
  Array.from({ length: drawing.height }, (_, row) => Array.from(drawing.ink.subarray(row * drawing.width, (row + 1) * drawing.width)))

describe('a drawing', () => {
  it('inks what the pen covers, and half of what it half covers', () => {
    const drawing = new Drawing(5, 3)
    drawing.stroke({ x: 1.5, y: 1.5 }, { x: 3.5, y: 1.5 }, 0.5)
    expect(rows(drawing)).toEqual([[0, 0, 0, 0, 0], [0, 255, 255, 255, 0], [0, 0, 0, 0, 0]])
    drawing.stroke({ x: 1.5, y: 1 }, { x: 1.5, y: 1 }, 0.5)
    expect(drawing.ink[1]).toBe(128)
  })

  it('keeps the ink that is there', () => {
    const drawing = new Drawing(3, 3)
    drawing.stroke({ x: 1.5, y: 1.5 }, { x: 1.5, y: 1.5 }, 1)
    const before = Uint8Array.from(drawing.ink)
    drawing.stroke({ x: 1.5, y: 1.5 }, { x: 1.5, y: 1.5 }, 0.5)
    expect(drawing.ink).toEqual(before)
  })

  it('is cut off at its border', () => {
    const drawing = new Drawing(2, 2)
    drawing.stroke({ x: -5, y: -5 }, { x: 9, y: 9 }, 1)
    expect(drawing.ink[0]).toBe(255)
    expect(drawing.ink[3]).toBe(255)
    drawing.stroke({ x: -90, y: -90 }, { x: -80, y: -80 }, 1)
  })

  it('becomes opaque rows of RGBA, white on black or black on white', () => {
    const drawing = new Drawing(2, 1)
    drawing.ink[1] = 200
    expect([...drawing.bytes('black')]).toEqual([0, 0, 0, 255, 200, 200, 200, 255])
    expect([...drawing.bytes('white')]).toEqual([255, 255, 255, 255, 55, 55, 55, 255])
    expect(drawing.bytes('black').buffer.byteLength).toBe(2 * 1 * 4)
  })

  it('is empty until something is drawn, and again when it is cleared', () => {
    const drawing = new Drawing(4, 4)
    expect(drawing.empty).toBe(true)
    drawing.stroke({ x: 2, y: 2 }, { x: 2, y: 2 }, 1)
    expect(drawing.empty).toBe(false)
    drawing.clear()
    expect(drawing.empty).toBe(true)
  })
})

it('a sheet has the proportions of the image, by a whole factor', () => {
  expect(sheet(28, 28)).toEqual({ height: 280, width: 280, factor: 10 })
  expect(sheet(24, 32)).toEqual({ height: 216, width: 288, factor: 9 })
  expect(sheet(600, 400)).toEqual({ height: 600, width: 400, factor: 1 })
})

it('of several files the image is taken; of none, nothing', () => {
  const text = new File(['a'], 'a.txt', { type: 'text/plain' })
  const image = new File(['b'], 'b.png', { type: 'image/png' })
  const unknown = new File(['c'], 'c.qoi', { type: '' })
  expect(imageIn([text, image])).toBe(image)
  expect(imageIn([unknown])).toBe(unknown)
  expect(imageIn([])).toBeNull()
  expect(imageIn(null)).toBeNull()
})
