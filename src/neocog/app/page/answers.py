"""Every question of the page, by name, and what answers it. Nothing is computed here: `explain` does that."""

from __future__ import annotations

from collections.abc import Callable

from neocog.app.page.exact import EXACT
from neocog.app.page.learning import LEARNING
from neocog.app.page.message import Answer
from neocog.app.page.patterns import PATTERNS
from neocog.app.page.question import Question
from neocog.app.page.session import Session
from neocog.app.page.values import VALUES
from neocog.errors import SettingError
from neocog.explain.subject import ProgressListener, no_progress

QUESTIONS: dict[str, Callable[[Session, Question, ProgressListener], Answer]] = {
    **EXACT,
    **VALUES,
    **PATTERNS,
    **LEARNING,
}


def answer(session: Session, question: Question, progress: ProgressListener = no_progress) -> Answer:
    """Answer a question.

    Arguments:
        session: what it is about.
        question: which.
        progress: told how far long work is; it may raise to end it.

    Raises:
        NeocogError: there is no such question, or its arguments do not fit.
    """
    if question.name not in QUESTIONS:
        raise SettingError(f"there is no question {question.name!r}")
    return QUESTIONS[question.name](session, question, progress)
