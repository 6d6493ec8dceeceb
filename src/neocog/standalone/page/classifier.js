// Classifies pictures with a network that neocog compiled. It needs nothing else, and nothing leaves the machine.

const WASM = null
const NETWORK = {}

export const { name, height, width, channels, labels } = NETWORK
const { resize, thresholds } = NETWORK
const USUAL = 5 // labels of an answer where nothing is said
const UNKNOWN = -1
const MAX_PIXELS = 1 << 26 // of a picture: 256 MiB as they come from a browser

let loading = null // a promise of the module
let running = null // the module's instance, and where its memory has room for what goes in and out

/** Get the network ready; classify does it by itself the first time. */
export function load(wasm) {
  if (loading === null || wasm !== undefined) {
    const mine = instance(wasm ?? WASM ?? new URL(`${name}.wasm`, import.meta.url)).then((made) => {
      if (loading !== mine && loading !== null) return loading // another was asked for meanwhile, and that counts
      running = made
    })
    loading = mine
    mine.catch(() => {
      if (loading === mine) loading = null // so that it can be tried again
    })
  }
  return loading
}

/** Say what a picture shows: labels with scores, the likeliest first. */
export async function classify(image, { top } = {}) {
  if (top !== undefined && !(Number.isInteger(top) && top >= 1)) {
    throw new RangeError(`top must be a whole number of at least 1, got ${top}`)
  }
  await load()
  const { answer, probabilities } = predict(await prepare(image))
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b] - probabilities[a] || a - b)
  const given =
    thresholds === null || top !== undefined
      ? order.slice(0, top ?? USUAL)
      : order.filter((place) => probabilities[place] > thresholds[place])
  const found = given.map((place) => ({ label: labels[place], score: probabilities[place] }))
  if (thresholds === null && answer === UNKNOWN) found[0].label = 'unknown'
  return found
}

/** Answer pixels as the network takes them: height x width x channels bytes. */
export function predict(pixels) {
  if (running === null) throw new Error('the network is not loaded yet: await load() first')
  const size = height * width * channels
  if (pixels.length !== size) {
    throw new RangeError(`${size} bytes are needed, ${height} x ${width} x ${channels}, got ${pixels.length}`)
  }
  const { memory, call, image, probabilities, arena } = running
  new Uint8Array(memory.buffer, image, size).set(pixels)
  const answer = call(image, probabilities, arena)
  return { answer, probabilities: new Float32Array(memory.buffer, probabilities, labels.length).slice() }
}

/** Return a picture's pixels as the network takes them. */
export async function prepare(image) {
  return fit(toChannels(await pixelsOf(image))).data
}

async function instance(wasm) {
  const bytes = typeof wasm === 'string' && wasm === WASM ? decoded(wasm) : wasm
  const from = typeof bytes === 'string' || bytes instanceof URL ? await fetch(bytes) : bytes
  let content = from
  if (typeof Response !== 'undefined' && from instanceof Response) {
    if (!from.ok) throw new Error(`${from.url}: the server answers ${from.status}`)
    content = await from.arrayBuffer() // and not as a stream, which some servers name no type for
  }
  const made = await WebAssembly.instantiate(content)
  const { memory, predict: call, ...places } = (made.instance ?? made).exports
  return { memory, call, image: places.image.value, probabilities: places.probabilities.value, arena: places.arena.value }
}

/** Return the bytes that a text in base64 stands for. */
function decoded(text) {
  const characters = atob(text)
  const bytes = new Uint8Array(characters.length)
  for (let place = 0; place < bytes.length; place++) bytes[place] = characters.charCodeAt(place)
  return bytes
}

// From a picture to pixels

async function pixelsOf(image) {
  if (ArrayBuffer.isView(image?.data) && image.width * image.height * 4 === image.data.length) {
    checkSize(image.width, image.height)
    return image // ImageData
  }
  let drawn = image
  if (typeof Blob !== 'undefined' && image instanceof Blob) {
    // Colours as the file has them, as training sees them: no profile is applied.
    drawn = await createImageBitmap(image, { colorSpaceConversion: 'none' })
  } else if (typeof HTMLImageElement !== 'undefined' && image instanceof HTMLImageElement) {
    await image.decode()
  }
  try {
    const across = drawn?.naturalWidth ?? drawn?.videoWidth ?? drawn?.displayWidth ?? drawn?.width
    const down = drawn?.naturalHeight ?? drawn?.videoHeight ?? drawn?.displayHeight ?? drawn?.height
    if (!(across >= 1 && down >= 1)) throw new TypeError('a picture is needed: ImageData, a Blob, an image, a canvas, a video')
    checkSize(across, down)
    const canvas =
      typeof OffscreenCanvas === 'undefined'
        ? Object.assign(document.createElement('canvas'), { width: across, height: down })
        : new OffscreenCanvas(across, down)
    const context = canvas.getContext('2d', { willReadFrequently: true })
    context.fillStyle = 'white' // what is transparent lies on paper
    context.fillRect(0, 0, across, down)
    context.drawImage(drawn, 0, 0, across, down)
    return context.getImageData(0, 0, across, down)
  } finally {
    if (drawn !== image) drawn.close()
  }
}

function checkSize(across, down) {
  if (across * down > MAX_PIXELS) throw new RangeError(`a picture of ${across} x ${down} pixels is too large`)
}

/** Bring pixels of red, green, blue and opacity to the network's channels, on white. */
function toChannels({ data, width, height }) {
  const made = new Uint8Array(width * height * channels)
  for (let from = 0, to = 0; from < data.length; from += 4, to += channels) {
    const opacity = data[from + 3]
    const red = onWhite(data[from], opacity)
    const green = onWhite(data[from + 1], opacity)
    const blue = onWhite(data[from + 2], opacity)
    if (channels === 1) {
      made[to] = (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16 // luma of ITU-R BT.601
    } else {
      made[to] = red
      made[to + 1] = green
      made[to + 2] = blue
    }
  }
  return { data: made, width, height }
}

function onWhite(value, opacity) {
  if (opacity === 255) return value
  return Math.floor((value * opacity + 255 * (255 - opacity)) / 255 + 0.5)
}

// From any size to the network's, by the rule and the arithmetic of training: Pillow's filters, which widen as they
// shrink, in whole numbers.

const FILTERS = {
  bilinear: { reach: 1, weigh: (x) => (x < 1 ? 1 - x : 0) },
  // R. Keys, Cubic convolution interpolation for digital image processing (1981), with a = -0.5
  bicubic: { reach: 2, weigh: (x) => (x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((x - 5) * x + 8) * x * -0.5 + 2 : 0) },
}
const BITS = 22 // behind the point
const MOST_RESIZED = 1 << 24 // pixels

function fit(picture) {
  const { kind, part, side } = resize
  if (picture.width === width && picture.height === height && part === 1 && side === null) return picture
  if (kind === 'crop') {
    let [across, down] = [picture.width, picture.height]
    if (across * height > down * width) across = Math.floor((down * width) / height)
    else down = Math.floor((across * height) / width)
    across = Math.max(1, Math.trunc(across * part + 1e-9))
    down = Math.max(1, Math.trunc(down * part + 1e-9))
    const left = Math.floor((picture.width - across) / 2)
    const upper = Math.floor((picture.height - down) / 2)
    return scale(cut(picture, left, upper, across, down), width, height)
  }
  if (kind === 'pad') {
    const share = Math.min(height / picture.height, width / picture.width)
    const across = Math.max(1, toEven(picture.width * share))
    const down = Math.max(1, toEven(picture.height * share))
    const [left, upper] = [Math.floor((width - across) / 2), Math.floor((height - down) / 2)]
    return cut(scale(picture, across, down), -left, -upper, width, height)
  }
  return kind === 'short' ? short(picture) : scale(picture, width, height)
}

/** Bring the shorter side to what the rule says, and cut the centre out; of a long strip, cut first. */
function short(picture) {
  const { side } = resize
  const longer = Math.trunc((side * Math.max(picture.width, picture.height)) / Math.min(picture.width, picture.height))
  const [across, down] = picture.width > picture.height ? [longer, side] : [side, longer]
  const [left, upper] = [offset(across, width), offset(down, height)]
  if (longer * side <= MOST_RESIZED) return cut(scale(picture, across, down), left, upper, width, height)
  const [columns, rows] = [Math.min(across, width), Math.min(down, height)]
  const [wide, high] = [picture.width / across, picture.height / down]
  const [x, y] = [Math.max(left, 0) * wide, Math.max(upper, 0) * high]
  const box = [x, y, Math.min(x + columns * wide, picture.width), Math.min(y + rows * high, picture.height)]
  return cut(scale(picture, columns, rows, box.map(Math.fround)), Math.min(left, 0), Math.min(upper, 0), width, height)
}

function offset(have, want) {
  return have >= want ? toEven((have - want) / 2) : -Math.floor((want - have) / 2)
}

/** Round, and a half to the even neighbour. */
function toEven(value) {
  const below = Math.floor(value)
  return value - below === 0.5 ? below + (below % 2) : Math.round(value)
}

/** Return a part of a picture, black where it reaches beyond. */
function cut(picture, left, upper, across, down) {
  if (left === 0 && upper === 0 && across === picture.width && down === picture.height) return picture
  const made = new Uint8Array(across * down * channels)
  const [first, end] = [Math.max(left, 0), Math.min(left + across, picture.width)]
  for (let row = Math.max(upper, 0); row < Math.min(upper + down, picture.height) && first < end; row++) {
    const from = row * picture.width
    const line = picture.data.subarray((from + first) * channels, (from + end) * channels)
    made.set(line, ((row - upper) * across + first - left) * channels)
  }
  return { data: made, width: across, height: down }
}

/** Return a picture, or what a box (left, upper, right, lower) holds of it, in another size. */
function scale(picture, columns, rows, [left, upper, right, lower] = [0, 0, picture.width, picture.height]) {
  const across = (from) => (columns === from.width && left === 0 && right === columns ? from : scaleAcross(from, columns, left, right))
  const down = (from) => (rows === from.height && upper === 0 && lower === rows ? from : scaleDown(from, rows, upper, lower))
  // Which comes first shows in roundings; Pillow 13 goes down first where that takes away more than twice as much.
  const [lost, narrower] = [picture.height - rows, picture.width - columns]
  return lost > 0 && lost > 2 * narrower ? across(down(picture)) : down(across(picture))
}

function scaleAcross(picture, columns, left, right) {
  const taps = tapsOf(left, right, columns, picture.width)
  const data = new Uint8Array(columns * picture.height * channels)
  for (let row = 0, to = 0; row < picture.height; row++) {
    for (const { first, shares } of taps) {
      const from = (row * picture.width + first) * channels
      for (let channel = 0; channel < channels; channel++) {
        data[to++] = blended(picture.data, from + channel, channels, shares)
      }
    }
  }
  return { data, width: columns, height: picture.height }
}

function scaleDown(picture, rows, upper, lower) {
  const line = picture.width * channels
  const data = new Uint8Array(rows * line)
  tapsOf(upper, lower, rows, picture.height).forEach(({ first, shares }, row) => {
    for (let place = 0; place < line; place++) {
      data[row * line + place] = blended(picture.data, first * line + place, line, shares)
    }
  })
  return { data, width: picture.width, height: rows }
}

/** Return which pixels of a line go into each of `count` new ones, and their shares. */
function tapsOf(from, to, count, size) {
  const { reach, weigh } = FILTERS[resize.interpolation]
  const step = (to - from) / count
  const wide = Math.max(step, 1)
  return Array.from({ length: count }, (_, place) => {
    const centre = from + (place + 0.5) * step
    const first = Math.max(0, Math.trunc(centre - reach * wide + 0.5))
    const end = Math.min(size, Math.trunc(centre + reach * wide + 0.5))
    const weights = Array.from({ length: end - first }, (_, tap) => weigh(Math.abs((tap + first - centre + 0.5) * (1 / wide))))
    const sum = weights.reduce((total, weight) => total + weight, 0)
    return { first, shares: Int32Array.from(weights, (weight) => whole(sum === 0 ? weight : weight / sum)) }
  })
}

function whole(share) {
  return Math.trunc(share * (1 << BITS) + (share < 0 ? -0.5 : 0.5))
}

function blended(data, from, stride, shares) {
  let sum = 1 << (BITS - 1)
  for (let tap = 0, place = from; tap < shares.length; tap++, place += stride) sum += data[place] * shares[tap]
  const value = sum >> BITS
  return value < 0 ? 0 : value > 255 ? 255 : value
}
