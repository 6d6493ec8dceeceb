/** Questions as messages of an anywidget in JupyterLab. Each buffer of an answer is one frame without outer length. */

import { AskError, decodeFrame, type Answer, type Progress } from './message'
import type { Options, Source } from './source'

/** What anywidget hands to `render`, as far as it is used here. */
export interface WidgetModel {
  send(content: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]): void
  on(event: string, handler: (content: { id?: unknown }, buffers: DataView[]) => void): void
  off(event: string, handler: (content: { id?: unknown }, buffers: DataView[]) => void): void
}

/** Told by ipywidgets when the connection with the kernel ends. */
const CUT_OFF = 'comm_live_update'

interface Waiting {
  question: string
  progress: ((progress: Progress) => void) | undefined
  resolve: (answer: Answer) => void
  reject: (error: unknown) => void
}

export class WidgetSource implements Source {
  readonly recorded = false
  /** called when the kernel was restarted */
  onrestart: () => void = () => undefined
  #next = 1
  #waiting = new Map<number, Waiting>()

  constructor(private readonly model: WidgetModel) {
    model.on('msg:custom', this.#hear)
    model.on(CUT_OFF, this.#restarted)
  }

  ask(question: string, { signal, progress, body }: Options = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const id = this.#next++
      const leave = (): void => {
        this.#waiting.delete(id)
        this.#send({ cancel: id })
        reject(signal!.reason)
      }
      signal?.addEventListener('abort', leave, { once: true })
      const settle = <T>(then: (value: T) => void) => (value: T): void => {
        signal?.removeEventListener('abort', leave)
        then(value)
      }
      this.#waiting.set(id, { question, progress, resolve: settle(resolve), reject: settle(reject) })
      if (!(body ? this.#send({ question, id, body: body.type }, [body.bytes]) : this.#send({ question, id }))) this.#restarted()
    })
  }

  close(): void {
    this.model.off('msg:custom', this.#hear)
    this.model.off(CUT_OFF, this.#restarted)
  }

  /** Whether a kernel took it: after a restart there is none that knows this widget. */
  #send(content: unknown, buffers: ArrayBuffer[] = []): boolean {
    try {
      this.model.send(content, undefined, buffers)
      return true
    } catch {
      return false
    }
  }

  #restarted = (): void => {
    const lost = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { reject } of lost) reject(new AskError('restarted', ''))
    this.onrestart()
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
