/** Words of the field, and sentences that the data may contradict. */

import { describe, expect, it } from 'vitest'
import { en } from '../src/strings/en'
import { zh } from '../src/strings/zh'
import { texts } from './catalogues'

const english = [...texts(en).values()].join('\n')
const chinese = [...texts(zh).values()].join('\n')

describe('the words', () => {
  it('are those of the field in English', () => {
    for (const term of ['feature map', 'neuron', 'receptive field', 'activation', 'overfitting', 'backpropagation']) {
      expect(english, term).toContain(term)
    }
  })
  it('are those of the field in Chinese', () => {
    for (const term of ['特征图', '神经元', '感受野', '激活', '过拟合', '反向传播', '卷积核', '步长', '权值共享']) expect(chinese, term).toContain(term)
    // 失活 is Dropout, and nothing else
    expect(chinese.replaceAll('随机失活', '')).not.toContain('失活')
    for (const other of ['滤波器', '步幅', '连同偏置', '还要更强']) expect(chinese, other).not.toContain(other)
  })
  it('stand close to Chinese marks, which are wide', () => {
    expect(chinese.match(/[。，；：！？）] /g)).toBeNull()
    expect(chinese.match(/[\u4e00-\u9fff][,;:!?]|[\u4e00-\u9fff]\.(?!\d)/g)).toBeNull()
  })
  it('do not read as if translated', () => {
    for (const odd of ['makes 0 of it', 'What would move it most', 'weights anew', 'brought to', 'Step on', 'Hidden by']) expect(english, odd).not.toContain(odd)
  })
})

describe('what depends on the data', () => {
  it('is not promised by a text that is always there', () => {
    for (const { places, learning } of [en, zh]) {
      expect(places.lead).not.toMatch(/moves along|会跟着移动/)
      expect(learning.lead).not.toMatch(/turn into|begin as noise|慢慢变成|从噪声开始/)
    }
    expect(english).not.toMatch(/\bdead on this image\b/)
  })
})
