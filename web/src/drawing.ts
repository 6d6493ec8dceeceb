/** What the reader draws: how much ink lies on each pixel, and the bytes that become of it. */

export interface Point {
  readonly x: number
  readonly y: number
}

export type Ground = 'black' | 'white'

export class Drawing {
  readonly ink: Uint8Array

  constructor(readonly width: number, readonly height: number) {
    this.ink = new Uint8Array(width * height)
  }

  get empty(): boolean {
    return this.ink.every((amount) => amount === 0)
  }

  clear(): void {
    this.ink.fill(0)
  }

  /** A stroke with a round pen from one point to the other; (0, 0) is the upper left corner of the first pixel. */
  stroke(from: Point, to: Point, radius: number): void {
    const reach = radius + 1
    const first = Math.max(0, Math.floor(Math.min(from.y, to.y) - reach))
    const last = Math.min(this.height - 1, Math.ceil(Math.max(from.y, to.y) + reach))
    const left = Math.max(0, Math.floor(Math.min(from.x, to.x) - reach))
    const right = Math.min(this.width - 1, Math.ceil(Math.max(from.x, to.x) + reach))
    for (let row = first; row <= last; row++) {
      for (let column = left; column <= right; column++) {
        const covered = radius + 0.5 - distance({ x: column + 0.5, y: row + 0.5 }, from, to)
        const amount = Math.round(Math.min(1, Math.max(0, covered)) * 255)
        const at = row * this.width + column
        if (amount > this.ink[at]!) this.ink[at] = amount
      }
    }
  }

  /** Rows of red, green, blue, opacity. */
  bytes(ground: Ground): Uint8ClampedArray<ArrayBuffer> {
    const bytes = new Uint8ClampedArray(new ArrayBuffer(this.ink.length * 4))
    for (const [at, amount] of this.ink.entries()) {
      bytes.fill(ground === 'black' ? amount : 255 - amount, at * 4, at * 4 + 3)
      bytes[at * 4 + 3] = 255
    }
    return bytes
  }
}

function distance(point: Point, from: Point, to: Point): number {
  const along = { x: to.x - from.x, y: to.y - from.y }
  const length = along.x ** 2 + along.y ** 2
  const share = length > 0 ? ((point.x - from.x) * along.x + (point.y - from.y) * along.y) / length : 0
  const held = Math.min(1, Math.max(0, share))
  return Math.hypot(point.x - from.x - held * along.x, point.y - from.y - held * along.y)
}

/** Pixels of a sheet in the proportions of the network's image, about `side` long, each of its pixels a whole number of them. */
export function sheet(height: number, width: number, side = 280): { height: number; width: number; factor: number } {
  const factor = Math.max(1, Math.round(side / Math.max(height, width)))
  return { height: height * factor, width: width * factor, factor }
}

/** The image among what was pasted or dropped; null: there is none. */
export function imageIn(files: Iterable<File> | ArrayLike<File> | null | undefined): File | null {
  const all = Array.from(files ?? [])
  return all.find((file) => file.type.startsWith('image/')) ?? all[0] ?? null
}
