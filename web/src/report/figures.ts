/** How a report writes figures: as the command line does. */

export type Form = 'percent' | 'points' | 'number' | 'count' | 'duration'

/** The words for hours, minutes and seconds. */
export type Units = readonly [string, string, string]

const GROUPED = new Intl.NumberFormat('en')
const DIGITS = 4
const SMALL = 1e-4 // below which zeros would fill the line

/** percent: a share as 68.82 %; points: a difference of shares as 15.57; number: four digits; count: 1,234; duration: of seconds. */
export function written(value: number, form: Form, units: Units = ['h', 'min', 's']): string {
  if (!Number.isFinite(value)) return String(value)
  if (form === 'percent') return `${(100 * value).toFixed(2)} %`
  if (form === 'duration') return duration(value, units)
  if (form === 'points') return (100 * value).toFixed(2)
  if (form === 'count') return GROUPED.format(Math.round(value))
  if (value !== 0 && Math.abs(value) < SMALL) return value.toExponential(DIGITS - 1)
  return String(Number(value.toPrecision(DIGITS)))
}

/** A time as hours, minutes and seconds, the two largest that there are. */
export function duration(seconds: number, units: Units): string {
  const whole = Math.round(seconds)
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60]
  if (hours > 0) return `${hours} ${units[0]} ${minutes} ${units[1]}`
  if (minutes > 0) return `${minutes} ${units[1]} ${whole % 60} ${units[2]}`
  return `${seconds < 10 ? seconds.toFixed(1) : whole} ${units[2]}`
}

/** Bytes of base64. */
export function bytes(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
}
