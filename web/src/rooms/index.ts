/** The rooms of the page, in the order in which one reads them. */

import type { Component } from 'svelte'
import type { RoomId } from '../state.svelte'
import Connections from './Connections.svelte'
import Detects from './Detects.svelte'
import Gradient from './Gradient.svelte'
import Kernels from './Kernels.svelte'
import Learning from './Learning.svelte'
import Lens from './Lens.svelte'
import Output from './Output.svelte'
import Overview from './Overview.svelte'
import Places from './Places.svelte'
import Pooling from './Pooling.svelte'
import Values from './Values.svelte'
import Worksheet from './Worksheet.svelte'
import YourInput from './YourInput.svelte'

export const rooms: Readonly<Record<RoomId, Component>> = {
  overview: Overview,
  lens: Lens,
  connections: Connections,
  pooling: Pooling,
  values: Values,
  gradient: Gradient,
  output: Output,
  detects: Detects,
  places: Places,
  learning: Learning,
  input: YourInput,
  kernels: Kernels,
  worksheet: Worksheet,
}
