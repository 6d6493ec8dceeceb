/** Facts of the questions about patterns, places and learning (docs/page.md). */

import type { ModelFacts, Pair, Real } from './answers'

export const BASELINES = ['black', 'mean', 'white'] as const
export type Baseline = (typeof BASELINES)[number]

/** The arguments that views begin with, and that a saved page holds answers for. */
export interface Defaults {
  occlusion: { patch: number; stride: number; baseline: Baseline }
  shift: { most: number; step: number }
  seed: number
  control: number
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

export interface LearningFacts {
  epochs: Epoch[]
  layers: { layer: number; name: string; shape: [number, number, number, number] }[]
  kept: number[]
}
