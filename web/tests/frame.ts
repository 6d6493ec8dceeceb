/** A frame as Python writes it, with its outer length. */
export function frame(manifest: unknown, values: readonly number[] = []): Uint8Array {
  let text = new TextEncoder().encode(JSON.stringify(manifest))
  while ((4 + text.length) % 4 !== 0) text = new Uint8Array([...text, 0x20])
  const bytes = new Uint8Array(8 + text.length + values.length * 4)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, bytes.length - 4, true)
  view.setUint32(4, text.length, true)
  bytes.set(text, 8)
  values.forEach((value, at) => view.setFloat32(8 + text.length + at * 4, value, true))
  return bytes
}
