/** The answers that a saved page holds: base64 of gzip of frames, the first of which lists the questions of the others. */

import { AskError, decodeFrame, FrameReader, type Answer } from './message'
import type { Options, Source } from './source'

export class RecordedSource implements Source {
  readonly recorded = true
  readonly #frames: Promise<Map<string, Uint8Array>>

  constructor(recording: string) {
    this.#frames = unpack(recording)
    this.#frames.catch(() => undefined) // whoever asks is told
  }

  async ask(question: string, { signal }: Options = {}): Promise<Answer> {
    signal?.throwIfAborted()
    const frame = (await this.#frames).get(question)
    if (!frame) throw new AskError('unrecorded', question)
    return answerIn(frame, question)
  }
}

async function unpack(recording: string): Promise<Map<string, Uint8Array>> {
  const [index, ...frames] = new FrameReader().push(await inflate(recording))
  if (!index) throw new AskError('garbled', 'the recording is empty')
  const { questions } = answerIn(index, 'questions').facts as { questions: string[] }
  if (questions.length !== frames.length) throw new AskError('garbled', 'the recording is cut off')
  return new Map(questions.map((question, place) => [question, frames[place]!]))
}

async function inflate(recording: string): Promise<Uint8Array> {
  try {
    const packed = Uint8Array.from(atob(recording), (character) => character.charCodeAt(0))
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('gzip'))
    return new Uint8Array(await new Response(stream).arrayBuffer())
  } catch (error) {
    throw new AskError('garbled', `the recording cannot be unpacked: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function answerIn(frame: Uint8Array, question: string): Answer {
  const message = decodeFrame(frame, question)
  if (message.kind === 'answer') return message.answer
  throw new AskError('garbled', `the recording holds no answer to ${question}`)
}
