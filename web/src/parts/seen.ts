/** Tells when an element comes near the visible part of the page, once. */

export function seen(tell: () => void): (element: Element) => () => void {
  return (element) => {
    const watch = new IntersectionObserver((entries) => {
      if (entries.some((entry) => entry.isIntersecting)) {
        watch.disconnect()
        tell()
      }
    }, { rootMargin: '400px' })
    watch.observe(element)
    return () => watch.disconnect()
  }
}
