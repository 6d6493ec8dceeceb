/** Where the edges of a small network are drawn, and which of them is meant by a point. No values, only places. */

export type Wiring = 'fully' | 'local' | 'shared'

/** One edge as it is drawn. `edge`: its row in the answer's `edges`, or -1 where a convolution has none. */
export interface Line {
  readonly output: number
  readonly input: number
  readonly tap: number
  readonly edge: number
}

/** The edges of a convolution, out of the answer's (E, 4) array. */
export function convolutionLines(edges: Float32Array): Line[] {
  return Array.from({ length: edges.length / 4 }, (_, edge) => ({
    output: edges[edge * 4]!, input: edges[edge * 4 + 1]!, tap: edges[edge * 4 + 2]!, edge,
  }))
}

/** All pairs of units; those that a convolution has know their place in the answer. */
export function allLines(inputs: number, outputs: number, kept: readonly Line[]): Line[] {
  const known = new Map(kept.map((line) => [line.output * inputs + line.input, line]))
  return Array.from({ length: inputs * outputs }, (_, pair) =>
    known.get(pair) ?? { output: Math.floor(pair / inputs), input: pair % inputs, tap: -1, edge: -1 })
}

export interface Layout {
  readonly height: number
  /** vertical distance of input and of output units */
  readonly pitch: readonly [number, number]
}

const PITCH = [5, 17] as const // pixels between input units: as many as fit the usual height, but not closer than this
const USUAL = 620 // pixels

export function layout(inputs: number, outputs: number): Layout {
  const pitch = Math.min(PITCH[1], Math.max(PITCH[0], USUAL / inputs))
  const height = Math.max(pitch * inputs, 22 * outputs)
  return { height, pitch: [height / inputs, height / outputs] }
}

export function unitY(shape: Layout, side: 0 | 1, unit: number): number {
  return (unit + 0.5) * shape.pitch[side]
}

/** The line nearest to a point, at most `reach` pixels above or below it; null: none. x from 0 (inputs) to 1 (outputs). */
export function nearest(lines: readonly Line[], shape: Layout, x: number, y: number, reach = 7): Line | null {
  let best: Line | null = null
  let distance = reach
  for (const line of lines) {
    const from = unitY(shape, 0, line.input)
    const away = Math.abs(from + (unitY(shape, 1, line.output) - from) * x - y)
    if (away < distance) {
      distance = away
      best = line
    }
  }
  return best
}

/** The output unit at a height; null: beyond all of them. */
export function unitAt(shape: Layout, outputs: number, y: number): number | null {
  const unit = Math.floor(y / shape.pitch[1])
  return unit >= 0 && unit < outputs ? unit : null
}

/** How a unit is called: by its number, from 1 on, or by where it stands. */
export function unitName(unit: number, columns: number, numbered: boolean): string {
  return numbered ? String(unit + 1) : `${Math.floor(unit / columns)},${unit % columns}`
}

/** A colour of its own for each of `count` things; neighbours differ in lightness too. */
export function hue(index: number, count: number): string {
  return `hsl(${Math.round((index * 360) / Math.max(1, count))} ${index % 2 ? 75 : 55}% ${index % 3 === 0 ? 38 : index % 3 === 1 ? 52 : 46}%)`
}
