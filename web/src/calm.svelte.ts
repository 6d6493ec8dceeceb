/** Questions that change faster than they are answered: while a finger drags, each answer is shown before the next is asked for. */

import { untrack } from 'svelte'
import { useAnswer, type Asked, type Session } from './state.svelte'

/** As `useAnswer`, but what was asked is waited for; then what is wanted by that time is asked. */
export function useCalm<F>(session: Session, wanted: () => string | null, family?: () => unknown): Asked<F> {
  let sent = $state(untrack(wanted))
  const asked = useAnswer<F>(session, () => sent, family)
  $effect(() => {
    const next = wanted()
    if (!asked.busy || next === null) sent = next
  })
  return asked
}
