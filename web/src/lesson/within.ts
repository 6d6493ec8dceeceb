/** Answers about a worked example: questions get its name in front, and rooms need not know. */

import type { Answer } from '../source/message'
import type { Keeping, Options } from '../source/source'

export class Within implements Keeping {
  readonly recorded: boolean

  constructor(private readonly source: Keeping, private readonly example: string) {
    this.recorded = source.recorded
  }

  peek(question: string): Answer | undefined {
    return this.source.peek(this.#of(question))
  }

  ask(question: string, options?: Options): Promise<Answer> {
    return this.source.ask(this.#of(question), options)
  }

  prefetch(question: string): void {
    this.source.prefetch(this.#of(question))
  }

  #of(question: string): string {
    return `${this.example}.${question}`
  }
}
