/** One colour scale for each value of a network, the same in all rooms: that of all its maps together. */

import { arrayEnds, type Ends } from '../ends'
import type { Answer } from '../source/message'
import type { Session } from '../state.svelte'
import { valueAt } from './inputs'

export interface ValueScale extends Ends {
  readonly of: Answer<unknown>
}

/** Views of layers that only move, choose or average values: their maps keep the colours of what they take. */
const KEEPS: readonly unknown[] = ['pooling', 'flatten', 'dropout', 'mean']

export function origin(session: Session, value: number): number {
  const layer = session.facts.layers[value]
  return layer && KEEPS.includes(layer.view) ? origin(session, layer.inputs[0]!) : value
}

export class Scales {
  #found = $state.raw<ReadonlyMap<number, ValueScale>>(new Map())

  constructor(session: Session, values: () => readonly number[]) {
    $effect(() => {
      const { input } = session
      const found = new Map<number, ValueScale>()
      let current = input !== null
      for (const value of current ? values() : []) {
        const where = valueAt(input!, origin(session, value))
        session.source.ask(where.question).then((of) => {
          if (!current) return
          found.set(value, { of, ...arrayEnds(of, where.array) })
          this.#found = new Map(found)
        }, () => undefined) // whoever shows the value says what went wrong
      }
      return () => { current = false }
    })
  }

  /** Of a value by its number, -1 being the image; null until it is here. */
  of(value: number): ValueScale | null {
    return this.#found.get(value) ?? null
  }
}
