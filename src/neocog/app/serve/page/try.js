// The page on which a server is tried: a picture is sent as it is, and the answer shown as it came.

const WORDS = {
  en: {
    title: 'Try the classifier',
    about: 'The picture goes to this server, and nowhere else.',
    model: 'Model',
    token: 'Token',
    drop: 'Drop a picture here, paste one, or click to choose one',
    command: 'The same on the command line',
    waiting: 'waiting for the answer …',
    answered: (name, ms) => `${name}, answered in ${ms} ms`,
    none: 'none of its labels is above its threshold',
    token_needed: 'this server needs its token',
    unreachable: 'the server cannot be reached',
    other: '中文',
  },
  zh: {
    title: '试用分类器',
    about: '图片只发送到本服务器，不会传到别处。',
    model: '模型',
    token: '令牌',
    drop: '将图片拖到此处、粘贴，或点击选择',
    command: '用命令行做同样的事',
    waiting: '正在等待回答…',
    answered: (name, ms) => `${name}，用时 ${ms} 毫秒`,
    none: '没有标签超过其阈值',
    token_needed: '此服务器需要令牌',
    unreachable: '无法连接服务器',
    other: 'English',
  },
}

const part = (id) => document.getElementById(id)
let language = (navigator.language || 'en').startsWith('zh') ? 'zh' : 'en'
let picture = null // the file that was given last
let asked = 0 // how many questions were asked: the answer to an older one is not shown
let told = () => '' // what stands above the answer, in either language

function say() {
  document.documentElement.lang = language === 'zh' ? 'zh-CN' : 'en'
  for (const element of document.querySelectorAll('[data-say]')) {
    element.textContent = WORDS[language][element.dataset.say]
  }
  part('language').textContent = WORDS[language].other
  part('language').lang = language === 'zh' ? 'en' : 'zh-CN'
  part('told').textContent = told(WORDS[language])
  const secret = part('secret').hidden ? '' : " -H 'Authorization: Bearer TOKEN'"
  part('curl').textContent = `curl${secret} --data-binary @picture.jpg ${location.origin}${address()}`
}

function tell(text, wrong = false) {
  told = text
  part('told').classList.toggle('wrong', wrong)
  say()
}

const address = () => (part('model').value ? `/models/${part('model').value}` : '/')

function headers() {
  const token = part('token').value
  return token ? { Authorization: `Bearer ${token}` } : {}
}

async function listModels() {
  const answer = await fetch('models', { headers: headers() }).catch(() => null)
  if (answer === null) return tell((words) => words.unreachable, true)
  if (answer.status === 401) {
    part('secret').hidden = false
    return tell((words) => words.token_needed, true)
  }
  const { models } = await answer.json()
  part('model').replaceChildren(...models.map(({ name }) => new Option(name, name)))
  tell(() => '')
  if (picture !== null) await ask()
}

function show(file) {
  picture = file
  URL.revokeObjectURL(part('picture').src)
  part('picture').src = URL.createObjectURL(file)
  part('picture').hidden = false
  part('invitation').hidden = true
  ask()
}

async function ask() {
  const number = ++asked
  part('labels').replaceChildren()
  tell((words) => words.waiting)
  const begun = performance.now()
  const question = { method: 'POST', body: picture, headers: { ...headers(), 'Content-Type': 'application/octet-stream' } }
  const answer = await fetch(address(), question).catch(() => null)
  const found = answer && (await answer.json().catch(() => null))
  if (number !== asked) return
  if (!found) return tell((words) => words.unreachable, true)
  if (answer.status === 401) {
    part('secret').hidden = false
    return tell((words) => words.token_needed, true)
  }
  if (!answer.ok) return tell(() => (found.hint ? `${found.error}: ${found.hint}` : found.error), true)
  const ms = Math.round(performance.now() - begun)
  const name = part('model').value
  tell((words) => (found.length ? words.answered(name, ms) : words.none))
  part('labels').replaceChildren(...found.map(row))
}

function row({ label, score }) {
  const line = document.createElement('li')
  const name = document.createElement('span')
  const bar = document.createElement('meter')
  const share = document.createElement('output')
  name.textContent = name.title = label
  bar.value = score
  bar.setAttribute('aria-hidden', 'true') // the number beside it says the same
  share.textContent = `${(100 * score).toFixed(2)} %`
  share.dataset.score = score
  line.append(name, bar, share)
  return line
}

function given(files) {
  const file = [...files].find(({ type }) => type.startsWith('image/')) ?? files[0]
  if (file) show(file)
}

part('language').addEventListener('click', () => {
  language = language === 'zh' ? 'en' : 'zh'
  say()
})
part('file').addEventListener('change', () => given(part('file').files))
part('model').addEventListener('change', () => (picture === null ? say() : ask()))
part('token').addEventListener('change', listModels)
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
listModels()
