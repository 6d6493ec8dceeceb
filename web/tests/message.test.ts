import { describe, expect, it } from 'vitest'
import { AskError, decodeFrame, FrameReader } from '../src/source/message'
import { frame } from './frame'

const progress = frame({ progress: { done: 0.25, what: 'images' } })
const answer = frame(
  { facts: { bias: 'NaN' }, arrays: [{ name: 'a', shape: [2, 2] }, { name: 'b', shape: [1] }] }, [1, -2.5, NaN, Infinity, 7])

function readAll(bytes: Uint8Array, piece: number): Uint8Array[] {
  const reader = new FrameReader()
  const frames: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += piece) frames.push(...reader.push(bytes.subarray(at, at + piece)))
  expect(reader.waiting).toBe(0)
  return frames
}

describe('frames', () => {
  it.each([1, 2, 3, 5, 7, 64, 4096])('are whole again when the network cuts them into pieces of %i bytes', (piece) => {
    const frames = readAll(new Uint8Array([...progress, ...answer]), piece)
    expect(frames.map((one) => decodeFrame(one, 'q').kind)).toEqual(['progress', 'answer'])
    const last = decodeFrame(frames[1]!, 'q')
    if (last.kind !== 'answer') throw new Error('no answer')
    expect([...last.answer.arrays.a!.data]).toEqual([1, -2.5, NaN, Infinity])
    expect(last.answer.arrays.a!.shape).toEqual([2, 2])
    expect([...last.answer.arrays.b!.data]).toEqual([7])
    expect(last.answer.facts).toEqual({ bias: 'NaN' })
    expect(last.answer.question).toBe('q')
  })

  it('wait for what is missing', () => {
    const reader = new FrameReader()
    expect(reader.push(answer.subarray(0, answer.length - 1))).toEqual([])
    expect(reader.waiting).toBe(answer.length - 1)
    expect(reader.push(answer.subarray(answer.length - 1))).toHaveLength(1)
  })

  it('tell of progress', () => {
    const told = decodeFrame(progress.subarray(4), 'q')
    expect(told).toEqual({ kind: 'progress', progress: { done: 0.25, what: 'images' } })
  })

  it('carry an error with its layer and hint', () => {
    const bytes = frame({ error: { message: 'no such filter', hint: 'from 0 to 1', layer: '0', code: 'setting' } })
    const told = decodeFrame(bytes.subarray(4), 'q')
    if (told.kind !== 'error') throw new Error('no error')
    expect(told.error).toMatchObject({ message: 'no such filter', hint: 'from 0 to 1', layer: '0', code: 'setting' })
  })

  it('are refused when an array is cut off', () => {
    expect(() => decodeFrame(answer.subarray(4, answer.length - 4), 'q')).toThrow(AskError)
  })

  it('are refused when they hold no JSON', () => {
    expect(() => decodeFrame(new Uint8Array([2, 0, 0, 0, 0x7b, 0x21, 0x20, 0x20]), 'q')).toThrow('not JSON')
  })
})
