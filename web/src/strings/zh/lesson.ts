/** 卡片之外的文字；卡片自己的文字随卡片一起送来（src/neocog/app/page/lesson/zh.toml）。 */

import type { lesson as english } from '../en/lesson'

export const lesson: typeof english = {
  lesson: {
    name: '跟着学',
    invite: '第一次来？十六张小卡片带你走完整个网络。每张都先问你，再告诉你。',
    start: '开始学',
    card: (number, of) => `第 ${number} 张，共 ${of} 张`,
    done: (count, of) => `${of} 张卡片已答对 ${count} 张`,
    answered: '已答对',
    leave: '所有视图',
    back: '上一张',
    next: '下一张',
    check: '看看对不对',
    reveal: '看答案',
    return: '回到这张卡片讲的地方',
    other: '不是这个数。一步一步再算一遍。',
    place: '第 {row} 行，第 {column} 列',
    end: '从像素到学习，整条路你都走完了。现在所有视图都向你敞开，换一张自己的图像试试吧。',
    craft: '对付过拟合，常用的还有权重衰减、标签平滑、数据增强和早停；激活函数怎么选，也是其中的学问。',
    standIn: {
      example: '你的网络里没有这样的地方，所以这里用教材里的小例子来讲。',
      colour: '你的网络里没有这样的地方，所以这里用一个彩色的小例子来讲。',
    },
    ways: { down: '向下', up: '向上', left: '向左', right: '向右' },
    figures: { window: '窗口', filter: '卷积核', sent: '传回的梯度' },
    lists: { optimizers: '优化器', schedules: '学习率调度', dropouts: '随机失活（防止过拟合）' },
  },
  said: {
    'falling line': '斜线',
    'upright line': '竖线',
    'red falling line': '红色斜线',
    'green upright line': '绿色竖线',
  },
}
