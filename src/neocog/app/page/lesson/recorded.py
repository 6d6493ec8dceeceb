"""What the lesson needs of a saved page: its cards, and worked examples where they stand in."""

from __future__ import annotations

from collections.abc import Callable

from neocog.app.page.examples import example_session
from neocog.app.page.lesson.cards import ROWS, card
from neocog.app.page.message import Answer
from neocog.app.page.question import Question
from neocog.app.page.session import FIRST, Session
from neocog.explain.subject import no_progress

Recording = dict[str, Answer]


def cards_recorded(session: Session, record: Callable[[Session], Recording]) -> Recording:
    """Answer the questions of the lesson ahead.

    Arguments:
        session: what the page is about.
        record: answers what a page of a session needs; asked for each worked example that stands in.
    """
    image = {"input": FIRST} if FIRST in session.inputs else {}
    questions = [Question("card", {**image, "number": str(number)}) for number in range(1, len(ROWS) + 1)]
    answers = {str(question): card(session, question, no_progress) for question in questions}
    for example in sorted({str(found.facts["example"]) for found in answers.values()} - {""}):
        answers |= {f"{example}.{key}": found for key, found in record(example_session(example)).items()}
    return answers
