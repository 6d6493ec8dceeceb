/** Facts of the question `card` (docs/page.md). */

import type { Language } from '../language'
import type { Real } from '../source/answers'
import type { Session } from '../state.svelte'

export interface AskFacts {
  key: string
  kind: 'counts' | 'values' | 'words'
  typed: boolean
  options: { why: string; value: number | null; counts: Record<string, number> }[]
  right: number
  values: Record<string, Real>
  counts: Record<string, number>
  names: Record<string, Named>
  after: string
  figures: string[]
  revealed: string[]
}

export type Named = { layer: string; kind: string } | { classes: (string | null)[] } | { way: string }

export type PlaceFacts = Partial<Record<'layer' | 'filter' | 'channel' | 'row' | 'column', number>> &
  Partial<Pick<Session, 'target' | 'wiring' | 'direction'>>

export interface CardFacts {
  row: string
  number: number
  /** the worked example that it is about; "": the reader's network */
  example: '' | 'example' | 'colour'
  room: Session['room']
  place: PlaceFacts
  then: PlaceFacts
  asks: AskFacts[]
  lists: Record<string, string[]>
  words: Record<Language, CardText>
  /** of all cards, in their order */
  titles: Record<Language, string[]>
}

export interface AskText {
  ask: string
  /** answers in words; those of one word have the place's in `place` */
  says?: Record<string, string>
  why: Record<string, string>
  after: Record<string, string>
}

export interface CardText {
  title: string
  tell: string
  asks: Record<string, AskText>
}

/** Choose what a card says is to be chosen. */
export function apply(session: Session, place: PlaceFacts): void {
  if (place.layer !== undefined) session.choose(place.layer)
  Object.assign(session, place)
}

const NEAR = 1e-5 // relative: as near as a typed number must be

/** Which of the options a typed number is; -1: none. */
export function typedOption(ask: AskFacts, text: string): number {
  const typed = Number(text.trim().replace('−', '-').replaceAll(',', ''))
  return ask.options.findIndex(({ value }) => value !== null && Math.abs(typed - value) <= NEAR * Math.abs(value))
}
