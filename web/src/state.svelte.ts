/** What the reader has chosen, shared by all rooms of one page. */

import { getContext, setContext, untrack } from 'svelte'
import { firstLanguage, named, remember, type Language } from './language'
import { isolated } from './names'
import type { Strings } from './strings/en'
import { fetchTexts, textsOf } from './strings/held'
import type { LayerFacts, ModelFacts, View } from './source/answers'
import type { Wiring } from './wiring'
import { asError, aborted, type Keeping } from './source/source'
import { AskError, type Answer, type Progress } from './source/message'

export const ROOMS = [
  'overview', 'lens', 'connections', 'pooling', 'values', 'gradient', 'output', 'detects', 'places', 'learning', 'input', 'kernels', 'worksheet',
] as const
export type RoomId = (typeof ROOMS)[number]

/** What stands for a class where the most probable one is not probable enough. */
export const UNKNOWN = -1

export class Session {
  room = $state<RoomId>('overview')
  /** number of the lesson's card that is open, from 1; null: none */
  card = $state<number | null>(null)
  /** the card to come back to */
  bookmark = 1
  /** id of an image; null: the page was opened without one */
  input = $state<string | null>(null)
  layer = $state<number | null>(null)
  channel = $state(0)
  #filter = $state(0)
  #row = $state(0)
  #column = $state(0)
  /** whether someone has chosen a filter or a place of this layer; until then a room may begin where it answers most */
  placed = $state(false)
  /** all digits of numbers, where room for them is narrow */
  exact = $state(false)
  /** "class:3" or "loss:3"; null: the predicted class */
  target = $state<string | null>(null)
  /** how a convolution is drawn as a network */
  wiring = $state<Wiring>('shared')
  /** which way a pooling is looked at */
  direction = $state<'forward' | 'backward'>('forward')
  /** whose texts are shown; they are here */
  language = $state<Language>('en')
  #wanted: Language | null = null
  /** why texts in another language did not come */
  speechless = $state.raw<AskError | null>(null)
  /** what the worked example learns with, as arguments of the question `learning`; empty: the usual */
  practice = $state<Readonly<Record<string, string>>>({})
  /** counts up when everything that failed is to be asked again */
  attempt = $state(0)
  /** whether any view waits for an answer */
  busy = $state(false)
  #waiting = 0

  model = $state.raw<Answer<ModelFacts> | null>(null)

  readonly source: Keeping
  readonly notebook: boolean

  /** notebook: the address belongs to the notebook, and nothing is remembered. */
  constructor(source: Keeping, notebook: boolean) {
    this.source = source
    this.notebook = notebook
    this.language = firstLanguage(notebook ? null : location.hash)
  }

  /** every text of the page */
  readonly t: Strings = $derived(textsOf(this.language)!)

  /** Facts about the model. Rooms are shown only once they are here. */
  get facts(): ModelFacts {
    return this.model!.facts
  }

  /** One view more, or less, waits. (Counted beside the state: what ends an effect would read a state as it was.) */
  wait(more: 1 | -1): void {
    this.#waiting += more
    this.busy = this.#waiting > 0
  }

  speak(language: Language): void {
    this.#turn(language)
    if (!this.notebook) remember(language)
  }

  /** Show another language, as soon as its texts are here. */
  #turn(language: Language): void {
    this.#wanted = language
    this.speechless = null
    if (textsOf(language)) this.language = language
    else {
      fetchTexts(language).then(
        () => { if (this.#wanted === language) this.language = language },
        () => { this.speechless = new AskError('stopped', '') },
      )
    }
  }

  /** The chosen layer if it has this view, else the first that has; null: no layer has. */
  layerOf(view: View): LayerFacts | null {
    const chosen = this.layer === null ? undefined : this.facts.layers[this.layer]
    if (chosen?.view === view) return chosen
    return this.facts.layers.find((layer) => layer.view === view) ?? null
  }

  /** The chosen layer if its values can be taken apart, else the first of those; null: there is none. */
  layerOfValues(): LayerFacts | null {
    const chosen = this.layer === null ? undefined : this.facts.layers[this.layer]
    if (chosen?.steps) return chosen
    // the rarer ones first: every network has activations
    return this.facts.layers.find((layer) => layer.steps && layer.view !== 'activation') ??
      this.facts.layers.find((layer) => layer.steps) ?? null
  }

  get filter(): number { return this.#filter }
  set filter(filter: number) { this.#filter = filter; this.placed = true }
  get row(): number { return this.#row }
  set row(row: number) { this.#row = row; this.placed = true }
  get column(): number { return this.#column }
  set column(column: number) { this.#column = column; this.placed = true }

  /** Choose a layer, and a filter of it; a place in another layer's maps means nothing in this one. */
  choose(layer: number, filter?: number): void {
    if (layer !== this.layer) {
      this.#row = 0
      this.#column = 0
      this.channel = 0
      this.placed = false
    }
    this.layer = layer
    this.#filter = filter ?? 0
    this.placed ||= filter !== undefined
  }

  /** How a layer is called in the reader's language: "2 Conv2d". */
  layerName(layer: Pick<LayerFacts, 'name' | 'kind'>): string {
    return this.t.page.layerName(layer.name, layer.kind)
  }

  /** A text of neocog's own that comes from Python, in the reader's language; others as they are. */
  said(text: string): string {
    return (this.t.said as Partial<Record<string, string>>)[text] ?? text
  }

  /** How a value is called: the layer that gives it, or the image. */
  valueName(value: number): string {
    const layer = this.facts.layers[value]
    return layer ? this.layerName(layer) : this.t.overview.image
  }

  /** A class's name, to stand anywhere; a word where the network is not certain enough. */
  className(index: number): string {
    if (index === UNKNOWN) return this.t.page.unknown
    return isolated(this.said(this.facts.classes[index] ?? String(index)))
  }

  /** Several labels, or the one class, that a network says; a word where there are none. */
  classNames(indices: readonly number[]): string {
    return indices.map((index) => this.className(index)).join(', ') || this.t.page.noLabel
  }

  /** Whether an image may have several labels: each has a probability of its own. */
  get several(): boolean {
    return this.facts.loss.several_labels
  }

  /** Leave the lesson, if it is open, for a room. */
  enter(room: RoomId): void {
    this.card = null
    this.room = room
  }

  /** The selection as it stands in the address; a card says itself what is selected. */
  get address(): string {
    const given = new URLSearchParams()
    if (this.card !== null) {
      given.set('card', String(this.card))
      if (this.input !== null && this.input !== this.model?.facts.first) given.set('input', this.input)
      given.set('lang', this.language)
      return `#lesson?${given.toString().replaceAll('%3A', ':')}`
    }
    if (this.layer !== null) given.set('layer', String(this.layer))
    for (const key of ['filter', 'channel', 'row', 'column'] as const) {
      if (this[key] > 0 || (this.placed && key === 'row')) given.set(key, String(this[key]))
    }
    if (this.target !== null) given.set('target', this.target)
    if (this.input !== null && this.input !== this.model?.facts.first) given.set('input', this.input)
    given.set('lang', this.language)
    return `#${this.room}?${given.toString().replaceAll('%3A', ':')}`
  }

  /** Take over what an address says; what it does not name stays. */
  follow(address: string): void {
    const [room = '', rest = ''] = address.replace(/^#/, '').split('?', 2)
    const given = new URLSearchParams(rest)
    if ((ROOMS as readonly string[]).includes(room)) this.enter(room as RoomId)
    else if (room === 'lesson') this.card = /^\d{1,2}$/.test(given.get('card') ?? '') ? Number(given.get('card')) : 1
    for (const key of ['layer', 'filter', 'channel', 'row', 'column'] as const) {
      const text = given.get(key)
      if (text !== null && /^\d{1,6}$/.test(text)) this[key] = Number(text)
    }
    const target = given.get('target')
    if (target !== null && /^(class|loss):\d+$/.test(target)) this.target = target
    const input = given.get('input')
    if (input !== null && /^[A-Za-z0-9.,:-]+$/.test(input)) this.input = input
    const language = named(given.get('lang'))
    if (language) this.#turn(language)
  }
}

const KEY = Symbol('session')

export function provide(session: Session): Session {
  return setContext(KEY, session)
}

export function useSession(): Session {
  return getContext<Session>(KEY)
}

/** A question that follows the selection, and its answer. Create it while a component is initialised, with `useAnswer`. */
export class Asked<F> {
  #held = $state.raw<{ question: string; answer: Answer<F>; family: unknown } | null>(null)
  #failed = $state.raw<{ question: string; error: AskError } | null>(null)
  progress = $state.raw<Progress | null>(null)
  #question: string | null = $derived.by(() => this.asked())

  /** The answer to the present question, if it is here. */
  #present: Answer<F> | null = $derived.by(() => {
    if (this.#question === null) return null
    if (this.#held?.question === this.#question) return this.#held.answer
    return (this.session.source.peek(this.#question) as Answer<F> | undefined) ?? null
  })

  /** The answer to the present question; of an earlier one of the same family until the present one is here; or null. */
  readonly answer: Answer<F> | null = $derived.by(() => {
    const held = this.#held
    if (this.#present || this.#question === null || this.error) return this.#present
    return held && this.family && held.family === this.family() ? held.answer : null
  })

  readonly error: AskError | null = $derived.by(() =>
    this.#failed?.question === this.#question ? this.#failed!.error : null)

  /** Whether an answer is awaited. */
  readonly busy: boolean = $derived.by(() =>
    this.#question !== null && this.error === null && this.#present === null)

  readonly session: Session
  readonly asked: () => string | null
  readonly family: (() => unknown) | undefined

  constructor(session: Session, asked: () => string | null, family?: () => unknown) {
    this.session = session
    this.asked = asked
    this.family = family
    $effect(() => {
      const question = this.#question
      void session.attempt
      if (question === null) return
      return untrack(() => this.#send(question))
    })
    $effect(() => {
      if (!this.busy) return
      session.wait(1)
      return () => session.wait(-1)
    })
  }

  #send(question: string): () => void {
    const abort = new AbortController()
    const family = this.family?.()
    this.#failed = null
    this.progress = null
    const here = this.session.source.peek(question) as Answer<F> | undefined
    if (here) {
      this.#held = { question, answer: here, family }
      return () => undefined
    }
    this.session.source
      .ask(question, { signal: abort.signal, progress: (progress) => { this.progress = progress } })
      .then(
        (answer) => { if (!abort.signal.aborted) this.#held = { question, answer: answer as Answer<F>, family } },
        (error: unknown) => {
          if (!aborted(error) && !abort.signal.aborted) this.#failed = { question, error: asError(error) }
        },
      )
    return () => abort.abort(new DOMException('no longer wanted', 'AbortError'))
  }
}

/**
 * Ask a question that follows the selection: `useAnswer(session, () => ask('run', { input: session.input }))`; null asks nothing.
 * family: while it gives the same value, the last answer stays until the next one is here (stepping does not flicker).
 */
export function useAnswer<F = Record<string, unknown>>(
  session: Session, asked: () => string | null, family?: () => unknown,
): Asked<F> {
  return new Asked<F>(session, asked, family)
}

