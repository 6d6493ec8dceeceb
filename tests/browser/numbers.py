"""Reads every number of a page, and says what the engine gives in its place."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from neocog.app.page.answers import answer
from neocog.app.page.message import Answer
from neocog.app.page.question import Question
from neocog.app.page.session import Session

RELATIVE = 1e-5
COLLECT = """() => [...document.querySelectorAll('data.num')].filter((node) => node.checkVisibility()).map((node) => ({
    text: node.textContent.trim(), short: node.dataset.short !== undefined ? node.title : null,
    question: node.dataset.question, array: node.dataset.array ?? null,
    index: node.dataset.index ?? null, fact: node.dataset.fact ?? null }))"""
# What is left of the page's text when the checked numbers are taken out; decimals in it would be unchecked.
REST = """() => {
    const found = []
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (walk.nextNode()) {
        const parent = walk.currentNode.parentElement
        if (!parent.closest('data.num, script, style, [data-verbatim]') && parent.checkVisibility())
            found.push(walk.currentNode.data)
    }
    return found
}"""
DECIMAL = re.compile(r"\d\.\d|\d[eE][-+]?\d")


class Shown(NamedTuple):
    """A number as it stands on the page, and where it says that it is from."""

    text: str
    short: str | None
    question: str
    array: str | None
    index: str | None
    fact: str | None

    @property
    def value(self) -> float:
        """The text, read back; where it stands in three digits, that which the pointer shows: all of them."""
        return read(self.text if self.short is None else self.short)

    @property
    def rounded(self) -> bool:
        """Whether the text is the value, to at least two digits if it stands in fewer."""
        want = self.value
        return np.isnan(want) or read(self.text) == want or abs(read(self.text) - want) <= 0.05 * abs(want)


def read(text: str) -> float:
    """Return what a text of the page says."""
    return float(text.replace("∞", "inf"))


def shown_numbers(page: Any) -> list[Shown]:
    """Collect the visible numbers of the network."""
    return [Shown(**entry) for entry in page.evaluate(COLLECT)]


def unchecked_decimals(page: Any) -> list[str]:
    """Collect visible texts outside of those that hold decimals."""
    return [text.strip() for text in page.evaluate(REST) if DECIMAL.search(text)]


class Oracle:
    """Answers questions once more, in float64, for a session."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._kept: dict[str, Answer] = {}

    def value(self, number: Shown) -> float:
        """Return what should stand there."""
        if number.question not in self._kept:
            self._kept[number.question] = answer(self._session, Question.read(number.question))
        found = self._kept[number.question]
        if number.array is not None:
            return float(np.asarray(found.arrays[number.array]).ravel()[int(number.index or 0)])
        value: Any = found.facts
        for key in (number.fact or "").split("."):
            value = value[int(key)] if isinstance(value, list | tuple) else value[key]
        return float(value)

    def wrong(self, numbers: list[Shown]) -> list[tuple[Shown, float]]:
        """List the numbers that differ from the engine's by more than 1e-5 of them.

        Residues of rounding are themselves as small as rounding; they are held to the size of what was rounded.
        """
        found = []
        for number in numbers:
            want = self.value(number)
            same = (np.isnan(want) and np.isnan(number.value)) or want == number.value
            if not (same or abs(number.value - want) <= RELATIVE * abs(want)) or not number.rounded:
                found.append((number, want))
        return found
