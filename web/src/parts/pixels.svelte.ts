/** Device pixels for one CSS pixel, kept up to date when the window moves to another screen or is zoomed. */

let ratio = $state(typeof devicePixelRatio === 'number' ? devicePixelRatio : 1)

function watch(): void {
  ratio = devicePixelRatio
  matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener('change', watch, { once: true })
}
if (typeof matchMedia === 'function') watch()

export function pixelRatio(): number {
  return ratio
}
