/** Straight lines from one range of numbers to another, as charts and colours need them. */

export type Range = readonly [number, number]

export interface Scale {
  /** from the domain to the range */
  to(value: number): number
  /** and back */
  from(place: number): number
}

/** What lies beyond either end goes to that end. */
export function linear(domain: Range, range: Range): Scale {
  return { to: (value) => between(value, domain, range), from: (place) => between(place, range, domain) }
}

function between(value: number, [low, high]: Range, to: Range): number {
  return mix(to[0], to[1], Math.min(1, Math.max(0, (value - low) / (high - low))))
}

/** The number that lies a share of the way from a to b. */
export function mix(a: number, b: number, share: number): number {
  return a + (b - a) * share
}
