/** Things that fly to their place, so that the eye sees where they come from. */

export const FLIGHT = 300 // milliseconds

/** Let each part come from where `from` was; nothing moves where the reader wants less motion. */
export function fly(parts: readonly Element[], from: (place: number) => Element | null | undefined): void {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return
  for (const [place, part] of parts.entries()) {
    const start = from(place)?.getBoundingClientRect()
    if (!start) continue
    for (const earlier of part.getAnimations()) earlier.cancel()
    const end = part.getBoundingClientRect()
    const moved = `translate(${start.left - end.left}px, ${start.top - end.top}px)`
    part.animate([{ transform: moved, opacity: 0.3 }, { transform: 'none', opacity: 1 }], { duration: FLIGHT, easing: 'ease-out' })
  }
}
