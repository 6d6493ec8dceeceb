/** 页面上的全部中文文字；键与 `en.ts` 相同，缺一个就无法通过编译。 */

import type { Strings } from './en'
import { findings } from './zh/findings'
import { frame } from './zh/frame'
import { kernels } from './zh/kernels'
import { kit } from './zh/kit'
import { lesson } from './zh/lesson'
import { network } from './zh/network'

export const zh: Strings = { ...frame, ...network, ...findings, ...kit, ...kernels, ...lesson }
