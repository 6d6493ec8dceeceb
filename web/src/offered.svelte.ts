/** Which questions can be asked here: any where something computes; in a saved page those that were recorded. */

import type { Session } from './state.svelte'

export class Offered {
  #found = $state.raw<ReadonlySet<string>>(new Set())
  readonly #live: boolean

  constructor(session: Session, questions: () => readonly (string | null)[]) {
    this.#live = !session.source.recorded
    if (this.#live) return
    $effect(() => {
      const wanted = questions().filter((question) => question !== null)
      let current = true
      const tried = wanted.map((question) => session.source.ask(question).then(() => question, () => null))
      void Promise.all(tried).then((found) => {
        if (current) this.#found = new Set(found.filter((question) => question !== null))
      })
      return () => { current = false }
    })
  }

  has(question: string | null): boolean {
    return question !== null && (this.#live || this.#found.has(question))
  }
}

/** Create it while a component is initialised. questions: those that one will want to know of. */
export function useOffered(session: Session, questions: () => readonly (string | null)[]): Offered {
  return new Offered(session, questions)
}
