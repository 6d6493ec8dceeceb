/** Where the arrays that layers read stand: a layer gave them, or it is the normalised image. */

import type { LayerFacts } from '../source/answers'
import { ask } from '../source/question'

export interface Where {
  readonly question: string
  readonly array: string
}

/** Where a value stands by its number, -1 being the image. */
export function valueAt(input: string, value: number): Where {
  return value < 0
    ? { question: ask('run', { input }), array: 'normalised' }
    : { question: ask('activation', { input, layer: value }), array: 'output' }
}

/** Where the first input of a layer stands. */
export function layerInput(input: string, layer: Pick<LayerFacts, 'inputs'>): Where {
  return valueAt(input, layer.inputs[0]!)
}
