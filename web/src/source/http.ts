/** Questions over HTTP to the server that `neocog explain` started. */

import { AskError, decodeFrame, FrameReader, type Answer, type ErrorCode } from './message'
import type { Options, Source } from './source'

const REFUSALS: Record<number, ErrorCode> = { 403: 'refused', 404: 'unknown', 413: 'large' }

export class HttpSource implements Source {
  readonly recorded = false

  /**
   * token: from the address that the page was opened with.
   * base: the address of the page.
   */
  constructor(private readonly token: string, private readonly base: string) {}

  async ask(question: string, { signal, progress, body }: Options = {}): Promise<Answer> {
    const headers: Record<string, string> = { 'X-Neocog-Token': this.token }
    if (body) headers['Content-Type'] = body.type
    let response: Response
    try {
      response = await fetch(new URL(`ask/${question}`, this.base), {
        method: body ? 'POST' : 'GET',
        headers,
        body: body?.bytes ?? null,
        signal: signal ?? null,
        cache: 'no-store',
      })
    } catch (error) {
      signal?.throwIfAborted()
      throw new AskError('stopped', error instanceof Error ? error.message : String(error))
    }
    if (!response.ok) {
      const text = (await response.text().catch(() => '')).slice(0, 400)
      throw new AskError(REFUSALS[response.status] ?? 'internal', text || `${response.status} ${response.statusText}`)
    }
    return this.#read(question, response, signal, progress)
  }

  async #read(
    question: string, response: Response, signal: Options['signal'], progress: Options['progress'],
  ): Promise<Answer> {
    const reader = response.body!.getReader()
    const frames = new FrameReader()
    for (;;) {
      let piece: ReadableStreamReadResult<Uint8Array>
      try {
        piece = await reader.read()
      } catch (error) {
        signal?.throwIfAborted()
        throw new AskError('stopped', error instanceof Error ? error.message : String(error))
      }
      if (piece.done) throw new AskError('stopped', 'the answer ended before its last frame')
      for (const frame of frames.push(piece.value)) {
        const message = decodeFrame(frame, question)
        if (message.kind === 'answer') return message.answer
        if (message.kind === 'error') throw message.error
        progress?.(message.progress)
      }
    }
  }
}
