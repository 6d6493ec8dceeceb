/** The answers that a saved page holds. */

import { AskError, floats, type Answer, type Facts, type NumberArray } from './message'
import type { Options, Source } from './source'

interface RecordedAnswer {
  facts?: Facts
  arrays?: { name: string; shape: number[]; data: string }[]
}

export type Recording = Record<string, RecordedAnswer>

export class RecordedSource implements Source {
  readonly recorded = true

  constructor(private readonly recording: Recording) {}

  async ask(question: string, { signal }: Options = {}): Promise<Answer> {
    signal?.throwIfAborted()
    const found = Object.hasOwn(this.recording, question) ? this.recording[question] : undefined
    if (!found) throw new AskError('unrecorded', question)
    const arrays: Record<string, NumberArray> = {}
    for (const { name, shape, data } of found.arrays ?? []) arrays[name] = { name, shape, data: floats(decodeBase64(data)) }
    return { question, facts: found.facts ?? {}, arrays }
  }
}

function decodeBase64(text: string): Uint8Array {
  const bytes = atob(text)
  return Uint8Array.from(bytes, (character) => character.charCodeAt(0))
}
