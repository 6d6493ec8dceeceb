/** Questions as messages of an anywidget in JupyterLab. Each buffer of an answer is one frame without outer length. */

import { decodeFrame, type Answer, type Progress } from './message'
import type { Options, Source } from './source'

/** What anywidget hands to `render`, as far as it is used here. */
export interface WidgetModel {
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void
  on(event: 'msg:custom', handler: (content: { id?: unknown }, buffers: DataView[]) => void): void
  off(event: 'msg:custom', handler: (content: { id?: unknown }, buffers: DataView[]) => void): void
}

interface Waiting {
  question: string
  progress: ((progress: Progress) => void) | undefined
  resolve: (answer: Answer) => void
  reject: (error: unknown) => void
}

export class WidgetSource implements Source {
  readonly recorded = false
  #next = 1
  #waiting = new Map<number, Waiting>()

  constructor(private readonly model: WidgetModel) {
    model.on('msg:custom', this.#hear)
  }

  ask(question: string, { signal, progress, body }: Options = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const id = this.#next++
      const leave = (): void => {
        this.#waiting.delete(id)
        this.model.send({ cancel: id })
        reject(signal!.reason)
      }
      signal?.addEventListener('abort', leave, { once: true })
      const settle = <T>(then: (value: T) => void) => (value: T): void => {
        signal?.removeEventListener('abort', leave)
        then(value)
      }
      this.#waiting.set(id, { question, progress, resolve: settle(resolve), reject: settle(reject) })
      if (body) this.model.send({ question, id, body: body.type }, undefined, [body.bytes])
      else this.model.send({ question, id })
    })
  }

  close(): void {
    this.model.off('msg:custom', this.#hear)
  }

  #hear = (content: { id?: unknown }, buffers: DataView[]): void => {
    const id = Number(content.id)
    for (const buffer of buffers) {
      const waiting = this.#waiting.get(id)
      if (!waiting) return // cancelled
      try {
        const message = decodeFrame(new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength), waiting.question)
        if (message.kind === 'progress') {
          waiting.progress?.(message.progress)
          continue
        }
        this.#waiting.delete(id)
        if (message.kind === 'answer') waiting.resolve(message.answer)
        else waiting.reject(message.error)
      } catch (error) {
        this.#waiting.delete(id)
        waiting.reject(error)
      }
    }
  }
}
