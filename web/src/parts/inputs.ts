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
