/** 教师用的工具：打印、讲课、复制图与数、练习单。 */

import type { kit as english } from '../en/kit'

export const kit: typeof english = {
  kit: {
    name: '教学',
    lecture: '讲课',
    lectureHelp: '放大文字，适合投影',
    print: '打印',
    sheetLead: '课程卡片里关于这个网络和这张图像的问题，可以用铅笔来做。答案另起一页。',
    sheetName: '姓名',
    sheetAnswers: '答案',
    preparing: '正在计算要打印的全部内容……',
    notComputed: '打印时这一部分还没有算完。用页面顶部的“打印”，会等全部算完再打印。',
    printed: (shown, count) => `共 ${count} 个，打印了 ${shown} 个。`,
    copy: '复制',
    copyOf: (title) => `复制：${title}`,
    png: '图，PNG 格式',
    svg: '图，SVG 格式',
    numpy: '数值，NumPy 代码',
    copied: '已复制',
    kept: '已存为文件',
    failed: '无法绘制',
  },
}
