/** What a report holds, as src/neocog/app/report/facts.py writes it. `evaluation` is what `neocog evaluate --json` prints. */

export type Interval = readonly [number, number]

export interface Epoch {
  readonly epoch: number
  readonly loss: number
  readonly accuracy: number
  readonly val_loss: number | null
  readonly val_accuracy: number | null
  readonly learning_rate: number
  readonly seconds: number
  readonly images_per_second: number
}

export interface ClassResult {
  readonly images: number
  readonly recall?: number | null
  readonly recall_interval?: Interval | null
  readonly precision: number | null
  readonly f1: number | null
  readonly average_precision?: number | null
  readonly threshold?: number
}

export interface Bin {
  readonly low: number
  readonly high: number
  readonly images: number
  readonly confidence: number | null
  readonly accuracy: number | null
}

export interface Kept {
  readonly threshold: number
  readonly answered: number
  readonly right: number
  readonly coverage: number
  readonly accuracy: number
}

export interface Evaluation {
  readonly accuracy: number
  readonly accuracy_interval?: Interval | null
  readonly macro_recall?: number
  readonly macro_recall_interval?: Interval | null
  readonly loss: number
  readonly images: number
  readonly most_frequent?: { readonly class: string; readonly share: number }
  readonly per_class: Readonly<Record<string, ClassResult>>
  readonly confusion?: readonly (readonly number[])[] | null
  readonly calibration?: {
    readonly temperature: number
    readonly error_before: number
    readonly error: number
    readonly bins_before: readonly Bin[]
    readonly bins: readonly Bin[]
  } | null
  readonly coverage_curve?: readonly Kept[] | null
  readonly reject?: (Kept & { readonly accuracy_interval: Interval }) | null
  /** where an image may have several labels */
  readonly label_accuracy?: number
  readonly macro_f1?: number | null
  readonly micro_f1?: number | null
  readonly mean_average_precision?: number | null
}

export interface Picture {
  readonly name: string
  readonly source: string
  /** places in `classes` */
  readonly truth: readonly number[]
  /** what the model says, or would say if it did not withhold that */
  readonly given: readonly number[]
  readonly withheld: boolean
  readonly probabilities: Readonly<Record<string, number>>
  /** the class that the heat map is about */
  readonly focus: number
  readonly explain: string
}

export interface Finding {
  readonly severity: 'error' | 'warning' | 'note'
  readonly code: string
  readonly message: string
  readonly count: number
  readonly examples: readonly string[]
}

export type Diagnosis =
  | { readonly code: 'nothing' | 'longer' | 'by heart' | 'sound' }
  | { readonly code: 'never'; readonly classes: readonly string[]; readonly of: number }
  | { readonly code: 'weak class'; readonly class: string }

export type Order = 'weakest' | 'alike' | 'own'

export interface Result {
  readonly location: string
  readonly data: string
  readonly source: string
  readonly counts: Readonly<Record<string, number>>
  readonly part: Part
  readonly chose_the_epoch: boolean
  readonly several_labels: boolean
  readonly evaluation: Evaluation
  readonly diagnosis: Diagnosis
  readonly confusion: {
    readonly orders: Readonly<Record<Order, readonly number[]>> | null
    readonly pairs: readonly { readonly true: number; readonly answer: number; readonly images: number }[]
    /** "true,answer" → indices of images */
    readonly cells: Readonly<Record<string, readonly number[]>>
  } | null
  readonly mistakes: { readonly all: number; readonly shown: readonly number[] }
  readonly close_calls: { readonly shown: readonly number[] }
  /** answers that are withheld, and how many would have been right; null: the model withholds none */
  readonly unknown: { readonly all: number; readonly right: number; readonly shown: readonly number[] } | null
  readonly images: Readonly<Record<string, Picture>>
  readonly heat: {
    /** name of the layer whose maps are weighed, and what it is */
    readonly layer: string
    readonly kind: string
    readonly rows: number
    readonly columns: number
    readonly grids: Readonly<Record<string, string>>
  } | null
  readonly silent: {
    readonly part: Part
    readonly images: number
    readonly of: number
    readonly layers: readonly { readonly layer: number; readonly name: string; readonly filters: number; readonly silent: readonly number[] }[]
  } | null
  /** what was done to training images, and a picture of it */
  readonly augmentation: { readonly words: string; readonly source: string; readonly width: number; readonly height: number } | null
  readonly check: { readonly counts: Readonly<Record<string, readonly number[]>>; readonly findings: readonly Finding[] } | null
}

export type Part = 'train' | 'validation' | 'test'

export interface Start {
  readonly command: string
  readonly time: string
  readonly processor?: string
  readonly threads?: number
  readonly system?: string
  readonly python?: string
  readonly packages?: Readonly<Record<string, string | null>>
}

export interface Facts {
  readonly version: number
  readonly neocog: string
  readonly run: string
  readonly starts: readonly Start[]
  readonly settings: Readonly<Record<string, unknown>>
  readonly classes: readonly string[]
  readonly network: {
    readonly input: readonly number[]
    readonly resize: string
    readonly layers: number
    readonly parameters: number
    readonly multiply_adds: number
  }
  readonly training: {
    readonly epochs: readonly Epoch[]
    readonly best_epoch: number | null
    readonly gap: number | null
    readonly seconds: number | null
    readonly images_per_second: number | null
  }
  readonly metrics: Readonly<Record<string, number>>
  readonly result: Result | null
  readonly missing: readonly { readonly code: string; readonly text: string }[]
}
