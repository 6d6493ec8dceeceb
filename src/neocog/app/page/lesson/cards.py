"""The sixteen cards, and the question `card`: asked about the reader's network, or else about a worked example."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from neocog.app.page.examples import EXAMPLES, example_session
from neocog.app.page.lesson.behind import both_poolings, features_combine, one_step, through_pooling
from neocog.app.page.lesson.card import Card, card_facts
from neocog.app.page.lesson.convolving import (
    channels_add_up,
    fewer_weights,
    map_a_filter,
    next_cell,
    removed_edges,
    shared_weights,
)
from neocog.app.page.lesson.seeing import (
    architecture,
    fewer_pixels,
    image_is_numbers,
    neuron_sees_a_part,
    pattern_anywhere,
    what_is_trained,
)
from neocog.app.page.lesson.words import titles, words_of
from neocog.app.page.message import Answer
from neocog.app.page.question import Question
from neocog.app.page.session import FIRST, Session
from neocog.errors import NeocogError
from neocog.explain.subject import ProgressListener, check_index

Make = Callable[[Session, str], Card]


class ArticleRow(NamedTuple):
    """A row of the article: its name, what makes its card, and the worked example that stands in where it must."""

    name: str
    make: Make
    example: str = EXAMPLES[0]


ROWS: tuple[ArticleRow, ...] = (
    ArticleRow("A1", image_is_numbers),
    ArticleRow("A2", neuron_sees_a_part),
    ArticleRow("A3", pattern_anywhere),
    ArticleRow("A4", fewer_pixels),
    ArticleRow("A5", architecture),
    ArticleRow("A6", what_is_trained),
    ArticleRow("A7", next_cell),
    ArticleRow("A8", map_a_filter),
    ArticleRow("A9", channels_add_up, EXAMPLES[1]),
    ArticleRow("A10", removed_edges),
    ArticleRow("A11", fewer_weights),
    ArticleRow("A12", shared_weights),
    ArticleRow("A13", both_poolings),
    ArticleRow("A14", through_pooling),
    ArticleRow("A15", features_combine),
    ArticleRow("A16", one_step),
)
"""The rows of the article, in its order."""


def make_card(session: Session, number: int, name: str | None) -> tuple[str, Card]:
    """Make a card.

    Arguments:
        session: what the reader looks at.
        number: of the card, from 1.
        name: of the image; None where there is none yet.

    Returns:
        Which worked example it is about, "" where it is about the reader's network; and the card.

    Raises:
        SettingError: there is no such card.
    """
    row = ROWS[check_index("number", number - 1, len(ROWS))]
    if name is not None:
        try:
            return "", row.make(session, name)
        except NeocogError:  # also what weights that are not finite, or a network of another kind, do not allow
            pass
    return row.example, row.make(example_session(row.example), FIRST)


def card(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """One card: what it asks, and what is right."""
    number = question.whole("number")
    given = question.arguments.get("input")
    if given is not None:
        session.input(given)  # an image that is forgotten is an error, not a reason for another example
    example, made = make_card(session, number, given)
    facts, arrays = card_facts(made)
    row = ROWS[number - 1].name
    counts = {name: number for ask in made.asks for name, number in ask.counts.items()}
    head: dict[str, Any] = {"row": row, "number": number, "example": example}
    return Answer({**head, **facts, "words": words_of(row, counts), "titles": titles()}, arrays)


LESSON = {"card": card}
