/** The facts of docs/page.md, typed. Numbers that may be NaN or infinite arrive as texts then. */

import type { Language } from '../language'
export type Real = number | 'NaN' | 'Infinity' | '-Infinity'
export type Pair = [number, number]

export interface Counts {
  fully_connected: number
  local: number
  shared: number
}

export interface WindowFacts {
  kernel: Pair
  stride: Pair
  dilation: Pair
  before: Pair
  after: Pair
}

export type View =
  | 'convolution' | 'pooling' | 'linear' | 'flatten' | 'activation' | 'normalization' | 'join' | 'mean' | 'softmax' | 'maxout'
  | 'dropout' | 'rearrangement' | 'enlargement'

export interface LayerFacts {
  index: number
  name: string
  kind: string
  title: string
  /** numbers of the values that it takes: of the layers that give them, or -1 for the image */
  inputs: number[]
  /** the shape of the first one */
  input: number[]
  output: number[]
  /** of channels that a convolution keeps apart; 1 for other layers */
  groups: number
  parameters: number
  multiply_adds: number
  counts: Counts | null
  counts_without_bias: Counts | null
  window: WindowFacts | null
  bias: boolean | null
  activation: number | null
  field: { size: Pair; stride: Pair; start: Pair } | null
  view: View | null
  /** whether its channels can be taken apart value by value */
  steps: boolean
}

export interface ModelFacts {
  title: string
  version: string
  lesson: boolean
  live: boolean
  notebook: boolean
  classes: string[]
  /** whether it answers for each pixel */
  by_pixel: boolean
  /** what it was trained with: the kind; whether an image may have several labels; whether its settings are the usual ones */
  loss: { kind: string; several_labels: boolean; plain: boolean }
  /** how logits become its answer: what they are divided by, the probability below which it is unknown, how it looks at an image */
  answers: { temperature: Real; reject_below: Real | null; views: 'plain' | 'flip' | 'flip-shift' }
  has_data: boolean
  data_name: string | null
  data_count: number | null
  has_learning: boolean
  input: {
    height: number
    width: number
    channels: number
    color: 'L' | 'RGB' | 'RGBA' | null
    mean: number[] | null
    std: number[] | null
    resize: string | null
    most_bytes: number
  }
  first: string | null
  totals: { parameters: number; multiply_adds: number } & Counts
  layers: LayerFacts[]
  recorded: { filters: Record<string, number[]>; channels: Record<string, number[]> } | null
}

export interface Problem {
  layer: string | null
  kind: 'nan' | 'infinite' | 'constant'
  text: string
  channels: number[]
}

export interface RunFacts {
  /** the most probable class */
  prediction: number | null
  /** what the network says: that class, or UNKNOWN, or all labels of a probability above their thresholds */
  predicted: number[]
  probability: Real
  labels: number[]
  name: string
  engine: string
  problems: Problem[]
  probability_sum: Real
}

/** How far the engine's values are from the reference's in float64: of the largest value, of a layer. */
export interface CheckFacts {
  engine: string
  logits: Real
  largest: Real
}

export interface InputFacts {
  input: string
  name: string
  note: Record<Language, string> | null
  labels?: number[]
}

export interface WeightsFacts {
  minimum: Real
  maximum: Real
  problems: unknown[]
}

export interface ActivationFacts {
  minimum: Real
  maximum: Real
  /** channels that are 0 everywhere on this image */
  zero: number[]
}

export interface LensFacts {
  bias: Real | null
  activation: string | null
  flipped: boolean
}

export interface EdgesFacts {
  input_box: [number, number, number, number]
  output_box: [number, number, number, number]
  counts: Counts
  counts_with_bias: Counts
  layer_counts: Counts
  layer_counts_with_bias: Counts
  layer_counts_without_bias: Counts
  enumerated: boolean
  whole: boolean
}

export interface PoolingFacts {
  kind: 'max' | 'average'
  cells: number
  padding_counts: boolean
  rule: string
}

export interface StepsFacts {
  steps: { name: string; sign: string; number: Real | null; source: [number, number] | null }[]
  /** of a Concatenate, for each input: its first channel in the output, and how many it has */
  parts: Pair[]
}

export interface StatisticsFacts {
  /** of the data set; 0 without one */
  images: number
}

export interface GradientFacts {
  value: Real
  sum: Real
  sum_of_input: Real | null
  conserved: boolean | null
  finite_difference: { checked: number; largest: Real } | null
}

export interface RouteFacts {
  /** what this layer sends back to the cell */
  total: Real
  /** of the cell: what all layers send that take it, added up */
  gradient: Real
  listed_sum: Real
  count: number
  kind: string
  /** of an activation */
  slope: Real | null
  winner_of: unknown[]
}

export interface TermsFacts {
  bias: Real | null
  total: Real
  products_sum: Real
  residue: Real
  image: [number, number, number] | null
  name: string | null
}

export interface FlattenFacts {
  image: [number, number, number]
}
