/** Facts of the questions about patterns, places and learning (docs/page.md). */

import type { Language } from '../language'
import type { ModelFacts, Pair, Real } from './answers'

export const BASELINES = ['black', 'mean', 'white'] as const
export type Baseline = (typeof BASELINES)[number]

/** The arguments that views begin with, and that a saved page holds answers for. */
export interface Defaults {
  occlusion: { patch: number; stride: number; baseline: Baseline }
  shift: { most: number; step: number }
  seed: number
  control: number
  /** kernels by name; the padding to begin with, and the convolution that one may stand in */
  kernel: { presets: Record<string, { weights: number[]; divide: number }>; padding: number; layer: number | null }
}

export function defaultsOf(facts: ModelFacts): Defaults {
  return (facts as ModelFacts & { defaults: Defaults }).defaults
}

export interface PatchesFacts {
  images: number
  dead: number[]
  seconds: Real
  field: Pair
}

export interface MaximiseFacts {
  value: Real
  data_maximum: Real | null
  dead: boolean
  steps: number
  seed: number
  beats: boolean | null
  /** as high as the data set's, up to rounding: more may not be possible */
  equals: boolean | null
}

export interface OcclusionFacts {
  value: Real
  patch: Pair
  stride: Pair
  baseline: Baseline
  largest: Pair
}

export interface GradCamFacts {
  layer: number
  name: string
  choices: number[]
  all_zero: boolean
  text: string
}

export interface ShiftFacts {
  predicted: number[]
  peak: Pair
  peak_before: Pair
  peak_value: Real
  peak_value_before: Real
  stride: Pair
  moved: Pair | null
  equal_inside: boolean | null
}

export interface DownsampleFacts {
  predicted: number[]
  size: Pair
  values: number
  of: number
  sizes: number[]
}

export interface Epoch {
  epoch: number
  loss: Real | null
  accuracy: Real | null
  val_loss: Real | null
  val_accuracy: Real | null
}

/** what a reader finds who compares the last filters with the first */
export type Impression = 'same' | 'recognisable' | 'little left'

export interface LearningLayer {
  layer: number
  name: string
  /** of the filters that were kept */
  shape: [number, number, number, number]
  /** how many there are */
  filters: number
  /** of how many of them maps were kept */
  maps: number
  /** |change| / |beginning| after each kept epoch */
  change: Real[]
  correlation: Real[]
  impression: Impression
  /** how many times changes are drawn larger than they are */
  magnified: number
}

/** What the worked example learns with: as arguments of a question, and what may be chosen. */
export interface PracticeFacts {
  optimizer: string
  rate: string
  momentum: string
  seed: string
  optimizers: string[]
  with_momentum: string[]
  rates: string[]
  momenta: string[]
  seeds: number
}

export interface LearningFacts {
  epochs: Epoch[]
  layers: LearningLayer[]
  /** after which epochs there are filters; null: those of the model as it is */
  kept: (number | null)[]
  trouble: Record<Language, string> | null
  practice: PracticeFacts | null
}

export interface LearntFacts {
  magnified: number
}

export interface KernelFacts {
  minimum: Real
  maximum: Real
  /** what the network says to what comes out, where it is of its size */
  predicted: number[] | null
}
