/** The facts of one report, and what its reader chose. */

import { getContext, setContext } from 'svelte'
import { firstLanguage, remember, type Language } from '../language'
import { isolated } from '../names'
import type { Facts } from './facts'
import { en, type Strings } from './strings/en'
import { zh } from './strings/zh'

const CATALOGUES: Record<Language, Strings> = { en, zh }

export class Report {
  readonly facts: Facts
  language = $state<Language>(firstLanguage(''))
  /** index of the image that is looked at closely */
  open = $state<number | null>(null)
  heat = $state(true)
  readonly t: Strings = $derived(CATALOGUES[this.language])

  constructor(facts: Facts) {
    this.facts = facts
  }

  speak(language: Language): void {
    this.language = language
    remember(language)
  }

  className(index: number): string {
    return isolated(this.facts.classes[index] ?? String(index))
  }

  /** Whether the network's images are so small that their pixels are to be seen. */
  get coarse(): boolean {
    return Math.max(...this.facts.network.input.slice(0, 2)) <= 40
  }
}

const KEY = Symbol('report')

export function provide(report: Report): Report {
  return setContext(KEY, report)
}

export function useReport(): Report {
  return getContext<Report>(KEY)
}
