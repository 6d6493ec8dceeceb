/**
 * The numbers of a panel as a program in NumPy, which needs nothing else: the arrays as they came, and where one number follows from
 * others by a formula that fits on a line, that formula, held against the number that the page shows.
 */

import type { LayerFacts } from '../source/answers'
import type { Answer, NumberArray } from '../source/message'
import { parse } from '../source/question'

const MOST_WRITTEN = 1500 // values of an array in digits; larger ones are packed, which nobody would read either

type Name = (array: string) => string
interface Model { readonly layers: readonly LayerFacts[]; readonly several: boolean; readonly temperature: number }
type Recipe = (v: Name, answer: Answer<unknown>, model: Model) => readonly [string[], string, string] | null

/** What stands before it, the formula, and the name of what it must give. */
const RECIPES: Readonly<Record<string, Recipe>> = {
  lens: (v) => [[], `(${v('window')} * ${v('filter')}).sum((1, 2, 3)) + ${v('bias')}`, 'total'],
  edges: (v) => [
    [`unit, source = ${v('edges')}[:, :2].round().astype(int).T`],
    `np.bincount(unit, ${v('edges')}[:, 3] * ${v('inputs')}.ravel()[source], ${v('outputs')}.size).reshape(${v('outputs')}.shape)`, 'outputs'],
  pooling: (v, answer, model) => {
    if (answer.arrays.sum) return [[], `${v('sum')} / ${v('counted')}`, 'output']
    const window = model.layers[Number(parse(answer.question).given.layer)]?.window
    if (!window) return null
    const [[r, s], [top, left]] = [window.kernel, window.before] // padding past the end only makes windows that are cut off
    const [down, across] = window.dilation
    const size = `(${(r - 1) * down + 1}, ${(s - 1) * across + 1})`
    return [
      [`padded = np.pad(${v('input')}, ((${top}, ${r * down}), (${left}, ${s * across})), constant_values=-np.inf)`,
        `windows = np.lib.stride_tricks.sliding_window_view(padded, ${size})[::${window.stride[0]}, ::${window.stride[1]}, ::${down}, ::${across}]`],
      `windows.max((2, 3))[:${v('output')}.shape[0], :${v('output')}.shape[1]]`, 'output']
  },
  terms: (v) => [[], `(${v('input')} * ${v('weight')}).sum() + ${v('bias')}`, 'total'],
  run: (v, answer, model) => answer.arrays.mean_logits?.shape.length !== 1 ? null : model.several
    ? [[], `1 / (1 + np.exp(-${v('mean_logits')} / ${model.temperature}))`, 'probabilities']
    : [[`raised = np.exp((${v('mean_logits')} - ${v('mean_logits')}.max()) / ${model.temperature})`], 'raised / raised.sum()', 'probabilities'],
  activation: (v, answer) => answer.arrays.output?.shape.length === 3 ? [[], `${v('output')}.max((0, 1))`, 'maximum'] : null,
  gradient: (v, answer) => answer.arrays.gradient?.shape.length === 3 ? [[], `${v('gradient')}.max((0, 1))`, 'maximum'] : null,
  route: (v) => [[], `${v('terms')}[:, 3] * ${v('terms')}[:, 4]`, 'contributions'],
}

/** The shortest digits that give this float32 again. */
function digits(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'np.nan' : value > 0 ? 'np.inf' : '-np.inf'
  for (let length = 1; length < 9; length++) {
    const short = Number(value.toPrecision(length))
    if (Math.fround(short) === value) return String(short)
  }
  return String(Number(value.toPrecision(9)))
}

function written({ shape, data }: NumberArray): string {
  const form = `.reshape(${shape.length === 1 ? shape[0] : `(${shape.join(', ')})`})`
  if (data.length <= MOST_WRITTEN) return `np.array([${Array.from(data, digits).join(', ')}], np.float64)${form}`
  let text = ''
  for (const byte of new Uint8Array(data.buffer, data.byteOffset, data.byteLength)) text += String.fromCharCode(byte)
  return `np.frombuffer(base64.b64decode("${btoa(text)}"), "<f4").astype(np.float64)${form}`
}

function fact(value: unknown): string | null {
  if (typeof value === 'number') return String(value)
  return Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === 'number') ? `(${value.join(', ')},)` : null
}

/** Write the program. title: what the numbers are of. The arrays of the second answer are called name_2, and so on. */
export function program(title: string, answers: readonly Answer<unknown>[], model: Model): string {
  const lines = [`# neocog: ${title.replace(/\s+/g, ' ')}`, 'import base64', '', 'import numpy as np']
  answers.forEach((answer, place) => {
    const v: Name = (name) => name.replace(/\W/g, '_') + (place === 0 ? '' : `_${place + 1}`)
    lines.push('', `# ${answer.question}`)
    for (const [name, value] of Object.entries(answer.facts as object)) {
      const text = name in answer.arrays ? null : fact(value)
      if (text !== null) lines.push(`${v(name)} = ${text}`)
    }
    for (const [name, array] of Object.entries(answer.arrays)) lines.push(`${v(name)} = ${written(array)}`)
    const { name } = parse(answer.question)
    const found = RECIPES[name]?.(v, answer, model)
    if (!found) return
    const [before, formula, want] = found
    lines.push(...before, `${v('computed')} = ${formula}`, `print(${v('computed')})`)
    if (Object.values(answer.arrays).some(({ step }) => step !== undefined && !Number.isInteger(step))) {
      lines.push(`# the page keeps these numbers in 8 or 16 bits, too few to compare with ${v(want)}`)
    } else lines.push(
      `np.testing.assert_allclose(${v('computed')}, ${v(want)}, rtol=1e-4, atol=1e-5 * (1e-9 + np.abs(${v(want)}).max()))`)
  })
  return lines.join('\n') + '\n'
}
