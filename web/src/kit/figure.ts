/** A panel as it stands on the page, as SVG of rectangles, text and pictures that any drawing program opens. */

const SPACE = 'http://www.w3.org/2000/svg'
const DRAWN = ['fill', 'stroke', 'stroke-width', 'stroke-dasharray', 'opacity', 'font-size', 'font-family', 'font-weight', 'text-anchor', 'dominant-baseline']
const MARGIN = 12 // pixels

const safe = (text: string): string => text.replace(/[&<>"]/g, (one) => `&#${one.charCodeAt(0)};`)
const seen = (colour: string): boolean => colour !== 'transparent' && !/, 0\)$|\/ 0\)$/.test(colour)

/** A copy of a drawing on the page that carries its own style, since it leaves the page's style sheet. */
function styled(svg: SVGElement): SVGElement {
  const copy = svg.cloneNode(true) as SVGElement
  const [from, to] = [[svg, ...svg.querySelectorAll<SVGElement>('*')], [copy, ...copy.querySelectorAll<SVGElement>('*')]]
  from.forEach((element, place) => {
    const style = getComputedStyle(element)
    to[place]!.removeAttribute('class')
    to[place]!.removeAttribute('style')
    for (const name of DRAWN) to[place]!.setAttribute(name, style.getPropertyValue(name))
    if (style.getPropertyValue('vector-effect') !== 'none') to[place]!.setAttribute('vector-effect', style.getPropertyValue('vector-effect'))
  })
  return copy
}

/** Draw a panel. Buttons, choosers and what is hidden are left out. */
export function figure(panel: HTMLElement): string {
  const whole = panel.getBoundingClientRect()
  const parts: string[] = []
  let count = 0
  const pen = document.createElement('canvas').getContext('2d')!

  function write(node: Text, style: CSSStyleDeclaration): void {
    const range = document.createRange()
    const lines: { text: string; box: DOMRect }[] = []
    for (const { 0: word, index } of node.data.matchAll(/\S+\s*/g)) {
      range.setStart(node, index)
      range.setEnd(node, index + word.trimEnd().length)
      const box = range.getBoundingClientRect()
      const last = lines.at(-1)
      if (last && Math.abs(last.box.top - box.top) < 2) last.text += ` ${word.trim()}`
      else if (box.width > 0) lines.push({ text: word.trim(), box })
    }
    pen.font = style.font
    const { fontBoundingBoxAscent: up, fontBoundingBoxDescent: down } = pen.measureText('x')
    for (const { text, box } of lines) {
      const baseline = box.top + (box.height - up - down) / 2 + up
      parts.push(`<text x="${box.left - whole.left}" y="${baseline - whole.top}" fill="${style.color}" font-family="${safe(style.fontFamily)}" font-size="${style.fontSize}" font-weight="${style.fontWeight}">${safe(text)}</text>`)
    }
  }

  function draw(element: Element): void {
    const style = getComputedStyle(element)
    const box = element.getBoundingClientRect()
    if (style.display === 'none' || style.visibility === 'hidden' || style.opacity === '0' || style.clipPath !== 'none') return
    if (element.matches('.kit, select, input, button:not(:has(canvas, svg, .num))')) return
    const at = `x="${box.left - whole.left}" y="${box.top - whole.top}" width="${box.width}" height="${box.height}"`
    if (element instanceof HTMLCanvasElement) {
      parts.push(`<image ${at} href="${element.toDataURL()}" style="image-rendering:pixelated"/>`)
      return
    }
    if (element instanceof SVGElement) {
      const copy = styled(element)
      for (const [name, value] of [['x', box.left - whole.left], ['y', box.top - whole.top], ['width', box.width], ['height', box.height]] as const) copy.setAttribute(name, String(value))
      copy.setAttribute('overflow', 'visible')
      parts.push(new XMLSerializer().serializeToString(copy))
      return
    }
    const stops = style.backgroundImage.startsWith('linear-gradient') ? style.backgroundImage.match(/rgba?\([^)]*\)/g) ?? [] : []
    const name = `f${count++}`
    if (stops.length > 1) {
      parts.push(`<linearGradient id="${name}">${stops.map((stop, place) => `<stop offset="${place / (stops.length - 1)}" stop-color="${stop}"/>`).join('')}</linearGradient>`)
    }
    const border = parseFloat(style.borderTopWidth) > 0 && parseFloat(style.borderLeftWidth) > 0 ? `stroke="${style.borderTopColor}" stroke-width="${style.borderTopWidth}"` : ''
    const fill = stops.length > 1 ? `url(#${name})` : seen(style.backgroundColor) ? style.backgroundColor : 'none'
    if (fill !== 'none' || border) parts.push(`<rect ${at} rx="${parseFloat(style.borderRadius) || 0}" fill="${fill}" ${border}/>`)
    const cut = style.overflowY !== 'visible' || style.overflowX !== 'visible'
    if (cut) parts.push(`<clipPath id="c${name}"><rect ${at}/></clipPath><g clip-path="url(#c${name})">`)
    for (const child of element.childNodes) {
      if (child instanceof Text) write(child, style)
      else if (child instanceof Element) draw(child)
    }
    if (cut) parts.push('</g>')
  }

  draw(panel)
  const [width, height] = [whole.width + 2 * MARGIN, whole.height + 2 * MARGIN]
  return `<svg xmlns="${SPACE}" width="${width}" height="${height}" viewBox="${-MARGIN} ${-MARGIN} ${width} ${height}">${parts.join('')}</svg>`
}

/** The same as a picture of pixels, twice as fine as the screen. */
export async function pixels(svg: string): Promise<Blob> {
  const image = new Image()
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`
  await image.decode()
  const canvas = document.createElement('canvas')
  canvas.width = 2 * image.width
  canvas.height = 2 * image.height
  const context = canvas.getContext('2d')!
  context.fillStyle = '#fff'
  context.fillRect(0, 0, canvas.width, canvas.height)
  context.drawImage(image, 0, 0, canvas.width, canvas.height)
  return new Promise((give, fail) => canvas.toBlob((blob) => (blob ? give(blob) : fail(new Error('no picture'))), 'image/png'))
}
