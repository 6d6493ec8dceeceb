"""Worked examples that stand in where a reader's network lacks something: every question, asked of one of them."""

from __future__ import annotations

from functools import cache

from neocog.app.page.session import FIRST, Input, Session
from neocog.explain.lesson import colour_image, colour_model, lesson_image, lesson_model

EXAMPLES = ("example", "colour")
"""Their names: questions about them begin with one, and a dot: `example.run?input=first`."""


def lesson_session() -> Session:
    """Make the session of the worked example, whose image is grey."""
    session = Session(lesson_model(), "6 x 6", lesson=True, engine="reference")
    session.add(Input(lesson_image(), "6 x 6"), FIRST)
    return session


@cache
def example_session(name: str) -> Session:
    """Return the session of a worked example by its name; one serves all pages."""
    if name == EXAMPLES[0]:
        return lesson_session()
    session = Session(colour_model(), "6 x 6 x 3", engine="reference")
    session.add(Input(colour_image(), "6 x 6 x 3"), FIRST)
    return session
