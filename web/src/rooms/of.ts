/** Where a layer's arithmetic is shown. */

import type { LayerFacts } from '../source/answers'
import type { RoomId, Session } from '../state.svelte'

const ROOM: Partial<Record<NonNullable<LayerFacts['view']>, RoomId>> = { convolution: 'lens', pooling: 'pooling', linear: 'output', flatten: 'output' }

/** The layer whose arithmetic gives a layer's maps: of an activation directly behind a convolution, that one; and its room, if it has one. */
export function arithmeticOf(session: Session, layer: LayerFacts): { origin: LayerFacts; room: RoomId | undefined } {
  const origin = (layer.view === 'activation' &&
    session.facts.layers.find((one) => one.activation === layer.index && one.view === 'convolution')) || layer
  return { origin, room: (origin.view && ROOM[origin.view]) ?? (layer.steps ? 'values' : undefined) }
}
