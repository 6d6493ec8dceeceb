import { describe, expect, it } from 'vitest'
import { consumersOf, layout, type Bar, type Drawing } from '../src/layout'
import type { View } from '../src/source/answers'

interface Layer {
  index: number
  inputs: number[]
  output: number[]
  view: View | null
}

const layer = (index: number, view: View, inputs: number[], output: number[] = [8, 8, 4]): Layer => ({ index, view, inputs, output })

const CHAIN = [
  layer(0, 'convolution', [-1]), layer(1, 'activation', [0]), layer(2, 'pooling', [1], [4, 4, 4]),
  layer(3, 'flatten', [2], [64]), layer(4, 'linear', [3], [10]),
]
/** A residual block with a convolution in its shortcut behind one without. */
const RESIDUAL = [
  layer(0, 'convolution', [-1]), layer(1, 'activation', [0]),
  layer(2, 'convolution', [1]), layer(3, 'normalization', [2]), layer(4, 'join', [3, 1]), layer(5, 'activation', [4]),
  layer(6, 'convolution', [5]), layer(7, 'convolution', [6]), layer(8, 'convolution', [5]), layer(9, 'join', [7, 8]),
  layer(10, 'mean', [9], [4]),
]
const BRANCHES = [
  layer(0, 'convolution', [-1]), layer(1, 'convolution', [0]), layer(2, 'activation', [1]), layer(3, 'convolution', [0]),
  layer(4, 'pooling', [0]), layer(5, 'convolution', [4]), layer(6, 'activation', [5]), layer(7, 'join', [2, 3, 6]),
]

function kinds(drawing: Drawing): Record<string, number> {
  const found: Record<string, number> = {}
  for (const link of drawing.links) found[link.kind] = (found[link.kind] ?? 0) + 1
  return found
}

function overlap(a: Bar, b: Bar): boolean {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

describe('the drawing of a network', () => {
  it('is one line where layers follow each other', () => {
    const drawing = layout(CHAIN, [8, 8, 1])
    expect(drawing.bars.every((bar) => bar.lane === 0)).toBe(true)
    expect(kinds(drawing)).toEqual({ next: 5 })
  })
  it('glues an activation to the convolution before it, and nothing that another layer takes too', () => {
    const gap = (drawing: Drawing, from: number, to: number): number =>
      drawing.bars[to]!.x - drawing.bars[from]!.x - drawing.bars[from]!.width
    const chain = layout(CHAIN, [8, 8, 1])
    expect(gap(chain, 0, 1)).toBeLessThan(gap(chain, 1, 2))
    const taken = layout([layer(0, 'convolution', [-1]), layer(1, 'activation', [0]), layer(2, 'join', [1, 0])], [8, 8, 1])
    expect(gap(taken, 0, 1)).toBe(gap(chain, 1, 2))
  })
  it('draws what skips layers as an arc, and a convolution beside others in a lane of its own', () => {
    const drawing = layout(RESIDUAL, [8, 8, 3])
    expect(drawing.links.filter((link) => link.kind === 'arc').map(({ from, to }) => [from, to])).toEqual([[1, 4]])
    expect(drawing.links.filter((link) => link.kind === 'branch').map(({ from, to }) => [from, to])).toEqual([[5, 8], [8, 9]])
    expect(drawing.bars.map((bar) => bar.lane)).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0])
  })
  it('puts branches that stand beside each other into different lanes', () => {
    const drawing = layout(BRANCHES, [8, 8, 3])
    expect(new Set([2, 3, 6].map((index) => drawing.bars[index]!.lane)).size).toBe(3)
    expect(drawing.bars[7]!.lane).toBe(0)
  })
  it('lets nothing overlap, stand before what it takes, or leave the picture', () => {
    for (const layers of [CHAIN, RESIDUAL, BRANCHES]) {
      const drawing = layout(layers, [8, 8, 3])
      const bars = [drawing.image, ...drawing.bars]
      for (const [at, bar] of bars.entries()) {
        for (const other of bars.slice(at + 1)) expect(overlap(bar, other), `${bar.index} and ${other.index}`).toBe(false)
        expect(bar.x + bar.width).toBeLessThanOrEqual(drawing.width)
        expect(bar.y).toBeGreaterThanOrEqual(0)
        expect(bar.y + bar.height).toBeLessThanOrEqual(drawing.height)
      }
      for (const one of layers) {
        for (const value of one.inputs) {
          const before = bars.find((bar) => bar.index === value)!
          expect(before.x + before.width).toBeLessThan(drawing.bars[one.index]!.x)
        }
      }
      expect(drawing.links).toHaveLength(layers.reduce((count, one) => count + one.inputs.length, 0))
      for (const link of drawing.links) expect(link.path).not.toMatch(/NaN|undefined|Infinity/)
    }
  })
  it('lays arcs over the same layers above each other', () => {
    const dense = [
      layer(0, 'convolution', [-1]), layer(1, 'convolution', [0]), layer(2, 'join', [1, 0]), layer(3, 'convolution', [2]),
      layer(4, 'join', [3, 2, 0]),
    ]
    const heights = layout(dense, [8, 8, 3]).links.filter((link) => link.kind === 'arc').map((link) => /Q\S+ (\S+) /.exec(link.path)![1])
    expect(heights).toHaveLength(3)
    expect(new Set(heights).size).toBe(2) // two short ones beside each other, a long one above both
  })
  it('draws maps taller the larger they are', () => {
    const [large, , small, vector] = layout(CHAIN, [8, 8, 1]).bars
    expect(large!.height).toBeGreaterThan(small!.height)
    expect(small!.height).toBeGreaterThan(vector!.height)
  })
  it('knows who takes a value, once for each edge', () => {
    const twice = [layer(0, 'convolution', [-1]), layer(1, 'join', [0, 0])]
    expect(consumersOf(twice).get(0)).toEqual([1, 1])
  })
})
