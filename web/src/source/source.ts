/** Where answers come from. Three carriers (http, recorded, widget) give them; `Cached` keeps the latest. */

import { AskError, type Answer, type Progress } from './message'
import { parse } from './question'

export interface Body {
  readonly bytes: ArrayBuffer
  /** media type; `application/x-neocog-pixels` for raw RGBA rows */
  readonly type: string
}

export interface Options {
  signal?: AbortSignal | undefined
  progress?: ((progress: Progress) => void) | undefined
  body?: Body | undefined
}

export interface Source {
  /** Ask. Rejects with an AskError, or with the signal's reason when aborted. */
  ask(question: string, options?: Options): Promise<Answer>
  /** True where only recorded answers can be had. */
  readonly recorded: boolean
}

const CACHE_BYTES = 192 * 2 ** 20
const EVER_NEW = new Set(['input', 'sample'])

/** A source that keeps its answers. */
export interface Keeping extends Source {
  /** The answer, if it is here already. */
  peek(question: string): Answer | undefined
  /** Fetch what will be wanted soon. */
  prefetch(question: string): void
}

/** Remembers answers, the least recently used go first; asks once for what several views want at the same time. */
export class Cached implements Keeping {
  readonly recorded: boolean
  #kept = new Map<string, Answer>()
  #bytes = 0
  #underway = new Map<string, Underway>()

  constructor(private readonly source: Source, private readonly limit = CACHE_BYTES) {
    this.recorded = source.recorded
  }

  /** The answer, if it is here already. */
  peek(question: string): Answer | undefined {
    const answer = this.#kept.get(question)
    if (answer) {
      this.#kept.delete(question)
      this.#kept.set(question, answer)
    }
    return answer
  }

  async ask(question: string, options: Options = {}): Promise<Answer> {
    if (options.body || EVER_NEW.has(parse(question).name)) return this.source.ask(question, options)
    const kept = this.peek(question)
    if (kept) return kept
    options.signal?.throwIfAborted()
    let shared = this.#underway.get(question)
    if (!shared) {
      shared = new Underway((signal, progress) => this.source.ask(question, { signal, progress }))
      this.#underway.set(question, shared)
      const mine = shared
      const forget = (): void => {
        if (this.#underway.get(question) === mine) this.#underway.delete(question)
      }
      shared.gone = forget
      shared.promise.then((answer) => { forget(); this.#keep(answer) }, forget)
    }
    return shared.join(options)
  }

  /** Fetch what will be wanted soon; failures are left to who really asks. */
  prefetch(question: string): void {
    if (!this.#kept.has(question) && !this.#underway.has(question)) this.ask(question).catch(() => undefined)
  }

  #keep(answer: Answer): void {
    const size = weigh(answer)
    if (size > this.limit || this.#kept.has(answer.question)) return
    this.#kept.set(answer.question, answer)
    this.#bytes += size
    for (const [oldest, old] of this.#kept) {
      if (this.#bytes <= this.limit) break
      this.#kept.delete(oldest)
      this.#bytes -= weigh(old)
    }
  }
}

/** One request that several may wait for; it is aborted when the last of them has left. */
class Underway {
  readonly promise: Promise<Answer>
  gone: () => void = () => undefined
  #abort = new AbortController()
  #waiting = 0
  #listeners = new Set<(progress: Progress) => void>()

  constructor(start: (signal: AbortSignal, progress: (progress: Progress) => void) => Promise<Answer>) {
    this.promise = start(this.#abort.signal, (progress) => {
      for (const listener of this.#listeners) listener(progress)
    })
  }

  join({ signal, progress }: Options): Promise<Answer> {
    this.#waiting++
    if (progress) this.#listeners.add(progress)
    return new Promise<Answer>((resolve, reject) => {
      const leave = (): void => {
        if (progress) this.#listeners.delete(progress)
        reject(signal!.reason)
        if (--this.#waiting === 0) {
          this.gone()
          this.#abort.abort(signal!.reason)
        }
      }
      signal?.addEventListener('abort', leave, { once: true })
      const done = (): void => {
        if (progress) this.#listeners.delete(progress)
        signal?.removeEventListener('abort', leave)
      }
      this.promise.then((answer) => { done(); resolve(answer) }, (error: unknown) => { done(); reject(error) })
    })
  }
}

function weigh(answer: Answer): number {
  return Object.values(answer.arrays).reduce((sum, array) => sum + array.data.byteLength, 1024)
}

/** Whether an error only says that nobody waits any more. */
export function aborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError'
}

/** Take anything thrown as an AskError. */
export function asError(error: unknown): AskError {
  if (error instanceof AskError) return error
  return new AskError('internal', error instanceof Error ? error.message : String(error))
}
