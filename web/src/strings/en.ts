/** Every text of the page in English. `zh.ts` has the same keys: a missing one does not compile. {names} are filled in. */

import { findings } from './en/findings'
import { frame } from './en/frame'
import { kernels } from './en/kernels'
import { kit } from './en/kit'
import { lesson } from './en/lesson'
import { network } from './en/network'

export const en = { ...frame, ...network, ...findings, ...kit, ...kernels, ...lesson }

export type Strings = typeof en
