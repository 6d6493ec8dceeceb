/**
 * Where the layers of a network stand when it is drawn from left to right: the longest path in the middle, branches in
 * lanes below it, connections that skip layers as arcs above. Sizes are CSS pixels.
 */

import type { LayerFacts } from './source/answers'

type Node = Pick<LayerFacts, 'index' | 'inputs' | 'output' | 'view'>

export interface Bar {
  readonly index: number
  readonly lane: number
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export interface Link {
  /** number of the value, -1 for the image */
  readonly from: number
  readonly to: number
  readonly path: string
  readonly kind: 'next' | 'arc' | 'branch'
}

export interface Drawing {
  readonly image: Bar
  readonly bars: readonly Bar[]
  readonly links: readonly Link[]
  readonly width: number
  readonly height: number
}

const GAP = 20 // between layers that do not belong together
const GLUED = 2 // between those that do
const BETWEEN = 12 // lanes
const RISE = 13 // of each arc above the one below it
const ROUND = 9 // radius of corners
const MARGIN = 8
const BELONG = new Set(['activation', 'normalization', 'dropout'])

export interface Sizes {
  /** width of a layer */
  readonly bar: number
  /** of a join, which is round */
  readonly join: number
  /** height of a vector and of the smallest maps */
  readonly low: number
  /** of maps as large as the image */
  readonly high: number
}

/** Bars with names in them. */
const NAMED: Sizes = { bar: 18, join: 24, low: 94, high: 116 }

export function layout(layers: readonly Node[], image: readonly number[], sizes = NAMED): Drawing {
  const consumers = consumersOf(layers)
  const main = longestPath(layers)
  const place = columns(layers, consumers, sizes)
  const lanes = lanesOf(layers, consumers, main, place)
  const span = (index: number): Span => place.get(index)!

  const links: Omit<Link, 'path'>[] = []
  const arcs: { link: Omit<Link, 'path'>; from: number; to: number; level: number }[] = []
  const occupied = (lane: number, from: number, to: number): boolean =>
    layers.some((layer) => lanes.get(layer.index) === lane && span(layer.index).left >= from && span(layer.index).right <= to)
  for (const layer of layers) {
    for (const from of layer.inputs) {
      const [a, b] = [lanes.get(from)!, lanes.get(layer.index)!]
      const [start, end] = [span(from).right, span(layer.index).left]
      const kind = a !== b ? 'branch' : occupied(a, start, end) ? 'arc' : 'next'
      const link = { from, to: layer.index, kind } as const
      links.push(link)
      if (kind === 'arc') arcs.push({ link, from: start + GAP / 2, to: end - GAP / 2, level: 0 })
    }
  }
  // The shortest arcs lie lowest; arcs that share a stretch lie above each other.
  arcs.sort((a, b) => a.to - a.from - (b.to - b.from))
  for (const [at, arc] of arcs.entries()) {
    const taken = new Set(
      arcs.slice(0, at).filter((other) => other.from < arc.to && arc.from < other.to).map((other) => other.level))
    arc.level = 1
    while (taken.has(arc.level)) arc.level++
  }

  const top = MARGIN + (arcs.length > 0 ? RISE * (1 + Math.max(...arcs.map((arc) => arc.level))) : 0)
  const all: readonly Node[] = [{ index: -1, inputs: [], output: [...image], view: null }, ...layers]
  const high = new Map(all.map((layer) => [layer.index, layer.view === 'join' ? sizes.join : tallness(layer.output, image, sizes)]))
  const tallest: number[] = [] // of each lane
  for (const layer of all) {
    const lane = lanes.get(layer.index)!
    tallest[lane] = Math.max(tallest[lane] ?? 0, high.get(layer.index)!)
  }
  const middles: number[] = []
  let below = top
  for (const height of tallest) {
    middles.push(below + height / 2)
    below += height + BETWEEN
  }
  const middle = (lane: number): number => middles[lane]!
  const bars = all.map((layer): Bar => {
    const { left, right } = span(layer.index)
    const height = high.get(layer.index)!
    const lane = lanes.get(layer.index)!
    return { index: layer.index, lane, x: left, y: middle(lane) - height / 2, width: right - left, height }
  })
  const levels = new Map(arcs.map((arc) => [arc.link, arc]))
  const drawn = links.map((link): Link => {
    const [a, b] = [lanes.get(link.from)!, lanes.get(link.to)!]
    const [start, end] = [span(link.from).right, span(link.to).left]
    const arc = levels.get(link)
    const path = arc
      ? bridge(arc.from, arc.to, middle(a), middle(a) - tallest[a]! / 2 - RISE * arc.level)
      : link.kind === 'branch' ? branch(start, end, middle(a), middle(b), a > b) : `M${start} ${middle(a)}H${end}`
    return { ...link, path }
  })
  const width = Math.max(...bars.map((bar) => bar.x + bar.width)) + MARGIN
  return { image: bars[0]!, bars: bars.slice(1), links: drawn, width, height: below - BETWEEN + MARGIN }
}

interface Span {
  readonly left: number
  readonly right: number
}

/** Which layers take each value, -1 being the image. */
export function consumersOf(layers: readonly Pick<LayerFacts, 'index' | 'inputs'>[]): Map<number, number[]> {
  const found = new Map<number, number[]>()
  for (const layer of layers) {
    for (const value of layer.inputs) found.set(value, [...(found.get(value) ?? []), layer.index])
  }
  return found
}

/** The layers on the longest path from the image to the end. */
function longestPath(layers: readonly Node[]): Set<number> {
  const length = new Map<number, number>([[-1, 0]])
  for (const layer of layers) length.set(layer.index, 1 + Math.max(...layer.inputs.map((value) => length.get(value)!)))
  const path = new Set<number>([-1])
  let at = layers.at(-1)?.index ?? -1
  while (at >= 0) {
    path.add(at)
    at = layers[at]!.inputs.reduce((best, value) => (length.get(value)! > length.get(best)! ? value : best))
  }
  return path
}

/** Each layer stands behind all that it takes; those that belong to the one before touch it. */
function columns(layers: readonly Node[], consumers: Map<number, number[]>, { bar, join }: Sizes): Map<number, Span> {
  const place = new Map<number, Span>([[-1, { left: MARGIN, right: MARGIN + bar }]])
  for (const layer of layers) {
    const glued = layer.inputs.length === 1 && layer.inputs[0]! >= 0 && BELONG.has(layer.view ?? '') &&
      consumers.get(layer.inputs[0]!)!.length === 1
    const left = Math.max(...layer.inputs.map((value) => place.get(value)!.right)) + (glued ? GLUED : GAP)
    place.set(layer.index, { left, right: left + (layer.view === 'join' ? join : bar) })
  }
  return place
}

/** The lane of each layer: 0 for the longest path; chains beside it take the first lane that is free along them. */
function lanesOf(
  layers: readonly Node[], consumers: Map<number, number[]>, main: Set<number>, place: Map<number, Span>,
): Map<number, number> {
  const lanes = new Map<number, number>([...main].map((index) => [index, 0]))
  const used: { lane: number; from: number; to: number }[] = []
  for (const layer of layers) {
    if (lanes.has(layer.index)) continue
    const chain = [layer.index]
    for (;;) {
      const next = (consumers.get(chain.at(-1)!) ?? []).find((index) => !lanes.has(index) && !chain.includes(index))
      if (next === undefined) break
      chain.push(next)
    }
    const from = place.get(chain[0]!)!.left - GAP
    const to = Math.max(...chain.flatMap((index) => [
      place.get(index)!.right, ...(consumers.get(index) ?? []).map((reader) => place.get(reader)!.left)]))
    let lane = 1
    while (used.some((other) => other.lane === lane && other.from < to && from < other.to)) lane++
    used.push({ lane, from, to })
    for (const index of chain) lanes.set(index, lane)
  }
  return lanes
}

function tallness(output: readonly number[], image: readonly number[], { low, high }: Sizes): number {
  if (output.length === 1) return low
  const share = Math.min(1, Math.max(output[0]!, output[1]!) / Math.max(image[0]!, image[1]!))
  return low + (high - low) * Math.sqrt(share)
}

/** Up, over what is skipped, and down again. */
function bridge(from: number, to: number, low: number, high: number): string {
  const round = Math.min(ROUND, (to - from) / 2)
  return `M${from} ${low}V${high + round}Q${from} ${high} ${from + round} ${high}H${to - round}Q${to} ${high} ${to} ${high + round}V${low}`
}

/** From one lane to another: the turn lies beside the layer in the lane nearer the middle. */
function branch(from: number, to: number, start: number, end: number, turnsLate: boolean): string {
  const x = turnsLate ? to - GAP / 2 : from + GAP / 2
  const down = Math.sign(end - start)
  const round = Math.min(ROUND, Math.abs(end - start) / 2, Math.abs(x - from), Math.abs(to - x))
  return `M${from} ${start}H${x - round}Q${x} ${start} ${x} ${start + down * round}` +
    `V${end - down * round}Q${x} ${end} ${x + round} ${end}H${to}`
}
