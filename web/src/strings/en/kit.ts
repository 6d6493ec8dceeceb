/** What a teacher takes along: printing, lectures, copies of figures and numbers, the worksheet. */

export const kit = {
  kit: {
    name: 'Teaching',
    lecture: 'Lecture',
    lectureHelp: 'Larger text, for a projector',
    print: 'Print',
    sheetLead: 'The questions of the lesson’s cards about this network and this image, to work on with a pencil. The answers come on a page of their own.',
    sheetName: 'Name',
    sheetAnswers: 'Answers',
    preparing: 'Computing all that is printed …',
    notComputed: 'This was not computed yet when the page was printed. “Print” at the top of the page waits for it.',
    printed: (shown: number, count: number) => `${shown} of ${count} are printed.`,
    copy: 'Copy',
    copyOf: (title: string) => `Copy: ${title}`,
    png: 'Figure as PNG',
    svg: 'Figure as SVG',
    numpy: 'Numbers as NumPy',
    copied: 'Copied',
    kept: 'Saved as a file',
    failed: 'Could not be drawn',
  },
}
