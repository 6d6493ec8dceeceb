/** Where the array that a layer reads stands: the layer before gave it, or it is the normalised image. */

import { ask } from '../source/question'

export interface Where {
  readonly question: string
  readonly array: string
}

export function layerInput(input: string, layer: number): Where {
  return layer === 0
    ? { question: ask('run', { input }), array: 'normalised' }
    : { question: ask('activation', { input, layer: layer - 1 }), array: 'output' }
}

/** Flat indices of the smallest and of the largest value that can be drawn: where a colour scale begins and ends. */
export function extremes(data: Float32Array): { low: number; high: number } {
  let low = 0
  let high = 0
  for (let at = 0; at < data.length; at++) {
    const value = data[at]!
    if (!Number.isFinite(value)) continue
    if (!Number.isFinite(data[low]!) || value < data[low]!) low = at
    if (!Number.isFinite(data[high]!) || value > data[high]!) high = at
  }
  return { low, high }
}
