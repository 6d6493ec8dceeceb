/** What stands around the cards of the lesson, whose own words come with them (src/neocog/app/page/lesson/en.toml). */

export const lesson = {
  lesson: {
    name: 'Guided lesson',
    invite: 'New to this? Sixteen short cards lead through the whole network. Each asks you something before it tells you.',
    start: 'Start the lesson',
    card: (number: number, of: number) => `Card ${number} of ${of}`,
    done: (count: number, of: number) => `${count} of ${of} cards answered`,
    answered: 'answered',
    leave: 'All rooms',
    back: 'Back',
    next: 'Next',
    check: 'Check',
    reveal: 'Show the answer',
    return: 'Back to the place of this card',
    other: 'Not this number. Try again, step by step.',
    place: 'row {row}, column {column}',
    end: 'That was the whole way, from pixels to learning. Every room is open now: try an image of your own.',
    craft: 'Other usual means against overfitting are weight decay, label smoothing, augmentation and early stopping; which activation to choose is part of the craft too.',
    standIn: {
      example: 'Your network has nothing to show this on, so here is the small example of the textbook.',
      colour: 'Your network has nothing to show this on, so here is a small example in colour.',
    },
    ways: { down: 'down', up: 'up', left: 'to the left', right: 'to the right' },
    figures: { window: 'window', filter: 'filter', sent: 'gradient sent back' },
    lists: { optimizers: 'Optimizers', schedules: 'Learning rate schedules', dropouts: 'Dropout, against overfitting' },
  },
  /** Texts of neocog's own that come from Python. */
  said: {
    'falling line': 'falling line',
    'upright line': 'upright line',
    'red falling line': 'red falling line',
    'green upright line': 'green upright line',
  },
}
