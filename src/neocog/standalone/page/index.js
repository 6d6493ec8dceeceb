// The page: a picture or the camera goes in, and what the network says is shown.

const WORDS = {
  en: {
    about: `The picture stays on this device: the network runs in this page. It tells ${labels.length} classes apart, at ${width} × ${height} pixels.`,
    drop: 'Drop a picture here, paste one, or click to choose one',
    camera: 'Use the camera',
    stop: 'Stop the camera',
    waiting: 'working …',
    ready: '',
    answered: (ms) => `answered in ${ms} ms`,
    none: 'none of its labels is above its threshold',
    unreadable: 'this is no picture that your browser can read',
    large: (why) => why,
    refused: 'the camera cannot be used: no permission, or there is none',
    unshown: (why) => `what the camera sees cannot be shown: ${why}`,
    broken: (why) => `the network cannot be loaded: ${why}`,
    made: 'Compiled by neocog. WebAssembly, no library, works offline.',
    other: '中文',
  },
  zh: {
    about: `图片不会离开本设备：网络就在本页中运行。它以 ${width} × ${height} 像素区分 ${labels.length} 个类别。`,
    drop: '将图片拖到此处、粘贴，或点击选择',
    camera: '使用摄像头',
    stop: '关闭摄像头',
    waiting: '正在计算…',
    ready: '',
    answered: (ms) => `用时 ${ms} 毫秒`,
    none: '没有标签超过其阈值',
    unreadable: '浏览器无法读取这张图片',
    large: (why) => `图片过大：${why}`,
    refused: '无法使用摄像头：未获许可，或没有摄像头',
    unshown: (why) => `无法显示摄像头画面：${why}`,
    broken: (why) => `无法加载网络：${why}`,
    made: '由 neocog 编译。WebAssembly，无需任何库，可离线使用。',
    other: 'English',
  },
}
const PAUSE = 100 // milliseconds between two pictures of the camera

const part = (id) => document.getElementById(id)
let language = (navigator.language || 'en').startsWith('zh') ? 'zh' : 'en'
let asked = 0 // how many questions were asked: the answer to an older one is not shown
let stream = null // of the camera
let told = (words) => words.ready // what stands above the answer, in either language

function say() {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
  for (const element of document.querySelectorAll('[data-say]')) {
    element.textContent = WORDS[language][element.dataset.say]
  }
  part('language').textContent = WORDS[language].other
  part('language').lang = language === 'zh' ? 'en' : 'zh-CN'
  part('camera').textContent = stream === null ? WORDS[language].camera : WORDS[language].stop
  part('told').textContent = told(WORDS[language])
}

function tell(text, wrong = false) {
  told = text
  part('told').classList.toggle('wrong', wrong)
  say()
}

function show(file) {
  stop()
  URL.revokeObjectURL(part('picture').src)
  part('picture').src = URL.createObjectURL(file)
  part('picture').hidden = false
  part('invitation').hidden = true
  tell((words) => words.waiting)
  ask(file, (words) => words.unreadable)
}

async function ask(image, failed) {
  const number = ++asked
  const fail = (text) => {
    if (number !== asked) return
    part('labels').replaceChildren()
    tell(text, true)
  }
  try {
    await load()
  } catch (error) {
    return fail((words) => words.broken(error.message))
  }
  let found, ms
  try {
    const begun = performance.now()
    found = await classify(image)
    ms = performance.now() - begun
  } catch (error) {
    return fail(error instanceof RangeError ? (words) => words.large(error.message) : failed)
  }
  if (number !== asked) return
  const shown = ms.toFixed(ms < 10 ? 1 : 0)
  tell((words) => (found.length ? words.answered(shown) : words.none))
  part('labels').replaceChildren(...found.map(row))
}

function row({ label, score }) {
  const line = document.createElement('li')
  const called = document.createElement('span')
  const bar = document.createElement('meter')
  const share = document.createElement('output')
  called.textContent = called.title = label
  bar.value = score
  bar.setAttribute('aria-hidden', 'true') // the number beside it says the same
  share.textContent = `${(100 * score).toFixed(2)} %`
  share.dataset.score = score
  line.append(called, bar, share)
  return line
}

function given(files) {
  const file = [...files].find(({ type }) => type.startsWith('image/')) ?? files[0]
  if (file) show(file)
}

async function start() {
  const number = ++asked
  let opened
  try {
    opened = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } })
  } catch {
    if (number === asked) tell((words) => words.refused, true)
    return
  }
  if (number !== asked) return release(opened) // a picture came, or another click, while the browser asked for permission
  stream = opened
  const video = part('video')
  video.srcObject = stream
  video.hidden = false
  part('picture').hidden = part('invitation').hidden = true
  try {
    await video.play()
  } catch (error) {
    if (stream !== opened) return // it was stopped meanwhile
    stop()
    return tell((words) => words.unshown(error.message), true)
  }
  if (stream === opened) tell((words) => words.waiting)
  while (stream === opened) {
    await ask(video, (words) => words.refused)
    await new Promise((done) => setTimeout(done, PAUSE))
  }
}

function release(opened) {
  for (const track of opened.getTracks()) track.stop()
}

function stop() {
  if (stream === null) return
  release(stream)
  stream = null
  asked++ // what is still being answered comes too late
  part('video').hidden = true
  part('video').srcObject = null
  part('invitation').hidden = false
  part('labels').replaceChildren()
  tell((words) => words.ready)
}

part('language').addEventListener('click', () => {
  language = language === 'zh' ? 'en' : 'zh'
  say()
})
part('file').addEventListener('change', () => given(part('file').files))
part('camera').addEventListener('click', () => (stream === null ? start() : stop()))
part('camera').hidden = !navigator.mediaDevices // which pages from elsewhere have with https alone
for (const kind of ['dragenter', 'dragover']) {
  document.addEventListener(kind, (event) => {
    event.preventDefault()
    part('drop').classList.add('over')
  })
}
document.addEventListener('dragleave', () => part('drop').classList.remove('over'))
document.addEventListener('drop', (event) => {
  event.preventDefault()
  part('drop').classList.remove('over')
  given(event.dataTransfer.files)
})
document.addEventListener('paste', (event) => given(event.clipboardData.files))

say()
load().catch((error) => tell((words) => words.broken(error.message), true))
