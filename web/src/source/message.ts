/** The frames of an answer, as written down in docs/page.md. */

export interface NumberArray {
  readonly name: string
  readonly shape: readonly number[]
  readonly data: Float32Array
  /** in a saved page: its values are rounded, to multiples of this above the least */
  readonly step?: number
}

export type Facts = Readonly<Record<string, unknown>>

/** What Python gave for a question. `question` is the canonical text, which every number on the page names. */
export interface Answer<F = Facts> {
  readonly question: string
  readonly facts: F
  readonly arrays: Readonly<Record<string, NumberArray>>
}

export interface Progress {
  /** 0 to 1 */
  readonly done: number
  readonly what: string
}

/** Codes of docs/page.md, and those that arise on the way: the page says in the reader's language what they mean. */
export type ErrorCode =
  | 'setting' | 'shape' | 'weights' | 'data' | 'engine' | 'cancelled' | 'internal' // Python's
  | 'stopped' // nobody answers
  | 'restarted' // a notebook's kernel, which knows nothing of this page now
  | 'refused' // no right to ask: 403
  | 'unknown' // no such question: 404
  | 'large' // 413
  | 'unrecorded' // a saved page does not hold it
  | 'garbled' // an answer that is not as agreed

export interface Said {
  readonly message: string
  readonly hint: string | null
}

export class AskError extends Error {
  override readonly name = 'AskError'

  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly hint: string | null = null,
    readonly layer: string | null = null,
    /** message and hint in languages besides English */
    readonly said: Partial<Record<string, Said>> = {},
  ) {
    super(message)
  }
}

export type Message =
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'answer'; readonly answer: Answer }
  | { readonly kind: 'error'; readonly error: AskError }

interface Listed {
  name: string
  shape: number[]
  /** in a recorded page: the values are low + k · step, k of so many bits */
  bits?: 8 | 16
  low?: number
  step?: number
}

interface Manifest {
  progress?: Progress
  facts?: Facts
  arrays?: Listed[]
  error?: { message: string; hint?: string | null; layer?: string | null; code: ErrorCode; said?: Record<string, Said> }
}

const WORD = 4 // bytes of a uint32 and of a float32

/** Number of values that an array of this shape holds. */
export function volume(shape: readonly number[]): number {
  return shape.reduce((product, extent) => product * extent, 1)
}

/** Read one frame without its outer length: length of the manifest, manifest, arrays. */
export function decodeFrame(frame: Uint8Array, question: string): Message {
  if (frame.byteLength < WORD) throw new AskError('garbled', `a frame of ${frame.byteLength} bytes holds no manifest`)
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength)
  const length = view.getUint32(0, true)
  let at = WORD + length
  if (at > frame.byteLength) throw new AskError('garbled', 'the manifest is longer than its frame')
  let manifest: Manifest
  try {
    manifest = JSON.parse(new TextDecoder().decode(frame.subarray(WORD, at))) as Manifest
  } catch {
    throw new AskError('garbled', 'the manifest is not JSON')
  }
  if (manifest.progress) return { kind: 'progress', progress: manifest.progress }
  if (manifest.error) {
    const { code, message, hint, layer, said } = manifest.error
    return { kind: 'error', error: new AskError(code, message, hint ?? null, layer ?? null, said) }
  }
  const arrays: Record<string, NumberArray> = {}
  for (const listed of manifest.arrays ?? []) {
    const { name, shape, bits } = listed
    const size = volume(shape) * (bits === undefined ? WORD : bits / 8)
    if (at + size > frame.byteLength) throw new AskError('garbled', `the array ${name} is cut off`)
    const bytes = frame.subarray(at, at + size)
    arrays[name] = bits === undefined
      ? { name, shape, data: floats(bytes) } : { name, shape, data: unpacked(bytes, listed), step: listed.step ?? 1 }
    at += Math.ceil(size / WORD) * WORD
  }
  return { kind: 'answer', answer: { question, facts: manifest.facts ?? {}, arrays } }
}

/** Take little-endian bytes as float32; copied, as a chunk of the network begins anywhere. */
export function floats(bytes: Uint8Array): Float32Array {
  const copy = new ArrayBuffer(bytes.byteLength)
  new Uint8Array(copy).set(bytes)
  return new Float32Array(copy)
}

/** Take whole numbers of 8 or 16 bits as the values that they stand for. */
function unpacked(bytes: Uint8Array, { bits, low = 0, step = 1 }: Listed): Float32Array {
  const numbers = bits === 8 ? bytes : new Uint16Array(bytes.slice().buffer)
  return Float32Array.from(numbers, (number) => low + number * step)
}

/** Collects the bytes of a response, cut wherever the network cuts them, and gives whole frames (without outer length). */
export class FrameReader {
  #pending: Uint8Array[] = []
  #size = 0

  /** Give the frames that are complete once `chunk` has come. */
  push(chunk: Uint8Array): Uint8Array[] {
    if (chunk.byteLength > 0) {
      this.#pending.push(chunk)
      this.#size += chunk.byteLength
    }
    const frames: Uint8Array[] = []
    for (;;) {
      if (this.#size < WORD) return frames
      const head = this.#take(WORD, false)
      const length = new DataView(head.buffer, head.byteOffset, WORD).getUint32(0, true)
      if (this.#size < WORD + length) return frames
      this.#take(WORD, true)
      frames.push(this.#take(length, true))
    }
  }

  /** Bytes that wait for the rest of their frame. */
  get waiting(): number {
    return this.#size
  }

  #take(count: number, remove: boolean): Uint8Array {
    const out = new Uint8Array(count)
    let filled = 0
    let index = 0
    while (filled < count) {
      const piece = this.#pending[index]!
      const part = piece.subarray(0, count - filled)
      out.set(part, filled)
      filled += part.byteLength
      if (part.byteLength === piece.byteLength) index++
      else if (remove) this.#pending[index] = piece.subarray(part.byteLength)
    }
    if (remove) {
      this.#pending.splice(0, index)
      this.#size -= count
    }
    return out
  }
}
