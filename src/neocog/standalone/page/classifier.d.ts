/** A class, or a label, and how probable it is: 0 to 1. */
export interface Label {
  label: string
  score: number
}

/** What can be classified. Of a video, the picture that it shows. */
export type Picture =
  | ImageData
  | Blob
  | ImageBitmap
  | HTMLImageElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | HTMLVideoElement
  | VideoFrame

/**
 * Say what a picture shows: labels with scores, the likeliest first.
 *
 * Where the network is not certain enough for the threshold that it was exported with, the first label is "unknown".
 * A network that gives several labels answers with those above their thresholds, maybe with none.
 *
 * @param options.top how many labels; 5 by default, or all that are given where there may be several.
 */
export function classify(image: Picture, options?: { top?: number }): Promise<Label[]>

/**
 * Get the network ready; `classify` does it by itself the first time.
 *
 * @param wasm where the module is; the file beside this one by default.
 */
export function load(wasm?: string | URL | Response | BufferSource): Promise<void>

/** Return a picture's pixels as the network takes them: in its size, height x width x channels bytes. */
export function prepare(image: Picture): Promise<Uint8Array>

/**
 * Answer pixels of `prepare`, once `load` is through: the probability of each label, and the number of the class
 * (-1: unknown); where there may be several labels, how many are given.
 */
export function predict(pixels: Uint8Array | Uint8ClampedArray): { answer: number; probabilities: Float32Array }

/** What the network is called. */
export const name: string

/** What the network takes: pixels, and channels (1 grey, 3 red, green and blue). */
export const height: number
export const width: number
export const channels: number

/** What the network tells apart, in the order of `probabilities`. */
export const labels: readonly string[]
