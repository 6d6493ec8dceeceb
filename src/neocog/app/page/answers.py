"""Every question of the page, by name, and what answers it. Nothing is computed here: `explain` does that."""

from __future__ import annotations

import threading
from collections.abc import Callable

from neocog.app.page.exact import EXACT
from neocog.app.page.examples import EXAMPLES, example_session
from neocog.app.page.kernels import KERNELS
from neocog.app.page.learning import LEARNING
from neocog.app.page.lesson.cards import LESSON
from neocog.app.page.message import Answer
from neocog.app.page.patterns import PATTERNS
from neocog.app.page.question import Question
from neocog.app.page.session import Session
from neocog.app.page.thumbnails import THUMBNAILS
from neocog.app.page.values import VALUES
from neocog.engines.base import Compiling, compiling_told_to
from neocog.errors import SettingError
from neocog.explain.subject import ProgressListener, no_progress

Find = Callable[[Session, Question, ProgressListener], Answer]


def _of_example(example: str, find: Find) -> Find:
    """Make a question of a worked example's out of one of the reader's network."""
    return lambda _, question, progress: find(example_session(example), question, progress)


_OWN: dict[str, Find] = {**EXACT, **VALUES, **PATTERNS, **LEARNING, **KERNELS, **THUMBNAILS}
QUESTIONS: dict[str, Find] = {
    **_OWN,
    **LESSON,
    **{f"{example}.{name}": _of_example(example, find) for example in EXAMPLES for name, find in _OWN.items()},
}


def answer(session: Session, question: Question, progress: ProgressListener = no_progress) -> Answer:
    """Answer a question.

    Arguments:
        session: what it is about.
        question: which.
        progress: told how far long work is, compiling too; it may raise to end it.

    Raises:
        NeocogError: there is no such question, or its arguments do not fit.
    """
    if question.name not in QUESTIONS:
        raise SettingError(f"there is no question {question.name!r}")
    find = QUESTIONS[question.name]
    if progress is no_progress:
        return find(session, question, progress)
    here = threading.get_ident()

    def told(now: Compiling) -> None:
        if threading.get_ident() == here:  # others only help, and could not end the work
            progress(now.done / now.total, "compiling")

    with compiling_told_to(told):
        return find(session, question, progress)
