import { gzipSync } from 'node:zlib'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { HttpSource } from '../src/source/http'
import { AskError, type Answer } from '../src/source/message'
import { ask, parse } from '../src/source/question'
import { RecordedSource } from '../src/source/recorded'
import { Cached, type Options, type Source } from '../src/source/source'
import { WidgetSource } from '../src/source/widget'
import { frame } from './frame'

afterEach(() => { vi.unstubAllGlobals() })

function given(question: string, size = 4): Answer {
  return { question, facts: {}, arrays: { a: { name: 'a', shape: [size], data: new Float32Array(size) } } }
}

describe('a question', () => {
  it('names its arguments in alphabetical order, whatever the order they are given in', () => {
    expect(ask('lens', { row: 2, filter: 0, layer: 3, input: 'first' })).toBe('lens?filter=0&input=first&layer=3&row=2')
  })
  it('leaves out what is not given, but not 0', () => {
    expect(ask('edges', { tap: undefined, value: null, row: 0 })).toBe('edges?row=0')
    expect(ask('model')).toBe('model')
  })
  it('refuses what would need escaping', () => {
    expect(() => ask('run', { input: 'a b' })).toThrow(RangeError)
    expect(() => ask('run', { input: 'a&b=c' })).toThrow(RangeError)
  })
  it('can be taken apart again', () => {
    expect(parse('gradient?input=first&layer=-1&target=class:3'))
      .toEqual({ name: 'gradient', given: { input: 'first', layer: '-1', target: 'class:3' } })
  })
})

describe('recorded answers', () => {
  const first = frame({ facts: { prediction: 1 }, arrays: [{ name: 'logits', shape: [3] }] }, [0.5, -1, NaN])
  const index = frame({ facts: { questions: ['run?input=first'] } })
  const pack = (...frames: Uint8Array[]): string => gzipSync(Buffer.concat(frames)).toString('base64')
  const source = new RecordedSource(pack(index, first))

  it('are found by their question', async () => {
    const answer = await source.ask('run?input=first')
    expect(answer.facts).toEqual({ prediction: 1 })
    expect([...answer.arrays.logits!.data]).toEqual([0.5, -1, NaN])
  })
  it('are missed aloud, with the question', async () => {
    await expect(source.ask('run?input=second')).rejects.toMatchObject({ code: 'unrecorded', message: 'run?input=second' })
    await expect(source.ask('constructor')).rejects.toBeInstanceOf(AskError)
  })
  it.each([['not base64', '%'], ['not gzip', btoa('text')], ['cut off', pack(index)], ['empty', pack()]])(
    'that are %s are told so', async (_, recording) => {
      await expect(new RecordedSource(recording).ask('model')).rejects.toMatchObject({ code: 'garbled' })
    })
})

class Counting implements Source {
  readonly recorded = false
  asked: string[] = []
  aborted = 0
  release: (() => void)[] = []
  async ask(question: string, { signal }: Options = {}): Promise<Answer> {
    this.asked.push(question)
    await new Promise<void>((resolve, reject) => {
      this.release.push(resolve)
      signal?.addEventListener('abort', () => { this.aborted++; reject(signal.reason as Error) })
    })
    return given(question, 256)
  }
}

describe('a cache', () => {
  it('asks once for what two views want at the same time', async () => {
    const source = new Counting()
    const cached = new Cached(source)
    const both = Promise.all([cached.ask('a'), cached.ask('a')])
    source.release[0]!()
    const [one, other] = await both
    expect(one).toBe(other)
    expect(source.asked).toEqual(['a'])
    expect(cached.peek('a')).toBe(one)
  })

  it('aborts the request only when the last view has left', async () => {
    const source = new Counting()
    const cached = new Cached(source)
    const [first, second] = [new AbortController(), new AbortController()]
    const asked = [cached.ask('a', { signal: first.signal }), cached.ask('a', { signal: second.signal })].map((one) => one.catch(() => 'left'))
    first.abort()
    expect(source.aborted).toBe(0)
    second.abort()
    expect(source.aborted).toBe(1)
    expect(await Promise.all(asked)).toEqual(['left', 'left'])
    void cached.ask('a').catch(() => undefined)
    expect(source.asked).toEqual(['a', 'a'])
  })

  it('forgets the least recently used answer first', async () => {
    const source = new Counting()
    const cached = new Cached(source, 2 * (256 * 4 + 1024))
    for (const question of ['a', 'b']) {
      const asked = cached.ask(question)
      source.release.pop()!()
      await asked
    }
    cached.peek('a')
    const asked = cached.ask('c')
    source.release.pop()!()
    await asked
    expect([cached.peek('a') !== undefined, cached.peek('b'), cached.peek('c') !== undefined]).toEqual([true, undefined, true])
  })

  it('does not keep what is new every time', async () => {
    const source = new Counting()
    const cached = new Cached(source)
    void cached.ask('sample?index=1')
    void cached.ask('sample?index=1')
    expect(source.asked).toHaveLength(2)
  })
})

describe('HTTP', () => {
  it('sends the token, and says that neocog has stopped when nobody answers', async () => {
    const fetched = vi.fn().mockRejectedValue(new TypeError('Failed to fetch'))
    vi.stubGlobal('fetch', fetched)
    await expect(new HttpSource('secret', 'http://127.0.0.1:1/').ask('run?input=first')).rejects.toMatchObject({ code: 'stopped' })
    expect(String(fetched.mock.calls[0]![0])).toBe('http://127.0.0.1:1/ask/run?input=first')
    expect((fetched.mock.calls[0]![1] as RequestInit).headers).toMatchObject({ 'X-Neocog-Token': 'secret' })
  })
  it.each([[403, 'refused'], [404, 'unknown'], [413, 'large'], [500, 'internal']])('takes status %i as %s', async (status, code) => {
    vi.stubGlobal('fetch', vi.fn().mockResolvedValue(new Response('no', { status })))
    await expect(new HttpSource('', 'http://127.0.0.1:1/').ask('model')).rejects.toMatchObject({ code, message: 'no' })
  })
  it('says so when the answer ends before its last frame', async () => {
    vi.stubGlobal('fetch', vi.fn().mockResolvedValue(new Response(new Uint8Array([9, 0, 0, 0, 1]))))
    await expect(new HttpSource('', 'http://127.0.0.1:1/').ask('model')).rejects.toMatchObject({ code: 'stopped' })
  })
})

describe('a notebook', () => {
  it('matches answers to questions by their id, and cancels', async () => {
    const sent: unknown[] = []
    let hear: (content: { id?: unknown }, buffers: DataView[]) => void = () => undefined
    const source = new WidgetSource({ send: (content) => { sent.push(content) }, on: (event, handler) => { if (event === 'msg:custom') hear = handler }, off: () => undefined })
    const text = new TextEncoder().encode(' {"facts":{"n":1}}'.padEnd(20))
    const bytes = new Uint8Array(4 + text.length)
    new DataView(bytes.buffer).setUint32(0, text.length, true)
    bytes.set(text, 4)
    const first = source.ask('model')
    const abort = new AbortController()
    const second = source.ask('patches?layer=0', { signal: abort.signal }).catch(() => 'cancelled')
    abort.abort()
    hear({ id: 2 }, [new DataView(bytes.buffer)])
    hear({ id: '1' }, [new DataView(bytes.buffer)])
    expect((await first).facts).toEqual({ n: 1 })
    expect(await second).toBe('cancelled')
    expect(sent).toEqual([{ question: 'model', id: 1 }, { question: 'patches?layer=0', id: 2 }, { cancel: 2 }])
  })
  it('says that the kernel was restarted: to who waits, and to who asks afterwards', async () => {
    let cut: (content: { id?: unknown }, buffers: DataView[]) => void = () => undefined
    let live = true
    const send = (): void => { if (!live) throw new Error('Cannot send') }
    const source = new WidgetSource({ send, on: (event, handler) => { if (event === 'comm_live_update') cut = handler }, off: () => undefined })
    const waiting = source.ask('model')
    live = false
    cut({}, [])
    await expect(waiting).rejects.toMatchObject({ code: 'restarted' })
    await expect(source.ask('model')).rejects.toMatchObject({ code: 'restarted' })
  })
})
