"""What a card of the lesson holds: where the page goes, what is asked, and which answer is right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from neocog.app.page.message import Arrays
from neocog.app.page.session import Session
from neocog.errors import NeocogError
from neocog.nn.answer import UNKNOWN
from neocog.nn.graph import Node

MOST_OPTIONS = 4  # that a reader is offered
APART = 1e-3  # relative: answers that are closer to each other cannot be told apart by thinking
LEAST = 1e-6  # values below it, of numbers around 1, are 0 to a reader

Kind = Literal["counts", "values", "words"]


class LacksError(NeocogError):
    """A network, or an image, does not have what a card asks about; the worked example has."""


@dataclass(frozen=True, slots=True)
class Option:
    """One of the answers to choose from.

    why: the key of what is said to who chooses it. value: the number that it is; None where words say it (`why` is
    then their key too). counts: whole numbers in these words.
    """

    why: str
    value: float | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ask:
    """A question of a card.

    key: of its words. kind: what its options are. options: in the order in which they are shown. right: which is.
    values: numbers of the network in its words. counts: whole numbers in them. names: what else is in them, such as
    layers and classes, which each language writes otherwise.
    after: the key of what is told when it is answered. figures: arrays that are shown as small matrices; `revealed`:
    those that are shown once it is answered.
    typed: whether the reader types the number instead of choosing one.
    """

    key: str
    kind: Kind
    options: tuple[Option, ...]
    right: int
    values: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    after: str = "after"
    figures: Arrays = field(default_factory=dict)
    revealed: Arrays = field(default_factory=dict)
    typed: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """One card.

    room: of the page. place: what is chosen there. then: what is chosen once the card is answered.
    asks: its questions, one after the other. lists: names to show, such as those of optimizers.
    """

    room: str
    place: Mapping[str, int | str]
    asks: tuple[Ask, ...]
    then: Mapping[str, int | str] = field(default_factory=dict)
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)


def numbers(right: float, mistakes: Iterable[tuple[str, float]], *, kind: Kind) -> tuple[tuple[Option, ...], int]:
    """Return numbers to choose from in ascending order, and the place of the right one.

    Mistakes that give (nearly) the right number, or each other's, are left out.

    Raises:
        LacksError: there is no number, or no mistake is left to choose.

    >>> options, place = numbers(9, [("all", 36), ("same", 9), ("one", 1)], kind="counts")
    >>> [option.value for option in options], place
    ([1, 9, 36], 1)
    """
    found = [Option("right", right)]
    for why, value in mistakes:
        apart = all(abs(value - (one.value or 0)) > max(APART * abs(value), LEAST) for one in found)
        if np.isfinite(value) and apart and len(found) < MOST_OPTIONS:
            found.append(Option(why, value))
    if not np.isfinite(right) or len(found) == 1:
        raise LacksError("there is nothing to choose between")
    if kind == "counts":
        found = [Option(one.why, int(one.value or 0)) for one in found]
    ordered = sorted(found, key=lambda one: one.value or 0.0)
    return tuple(ordered), next(place for place, one in enumerate(ordered) if one.why == "right")


def layer_named(node: Node) -> dict[str, str]:
    """Name a layer for a sentence: the page writes it as its language does."""
    return {"layer": node.name, "kind": type(node.layer).__name__}


def classes_named(session: Session, indices: Iterable[int]) -> dict[str, list[str | None]]:
    """Name what a network says: classes or labels; None stands for "unknown"."""
    return {"classes": [None if index == UNKNOWN else session.model.class_names[index] for index in indices]}


def whole(options: Iterable[Option]) -> bool:
    """Whether all of these numbers are whole ones, which a reader can work out and type."""
    return all(one.value is not None and float(one.value).is_integer() for one in options)


def _shown(value: float | None) -> float | int | None:
    """Return a number as rooms show it too: arrays travel as float32, and no card shall have other digits."""
    return float(np.float32(value)) if isinstance(value, float) else value


def card_facts(card: Card) -> tuple[dict[str, Any], Arrays]:
    """Return a card as facts and arrays of an answer; figures of question n are arrays `n.NAME`."""
    asks = [
        {
            "key": ask.key,
            "kind": ask.kind,
            "typed": ask.typed,
            "options": [{"why": one.why, "value": _shown(one.value), "counts": one.counts} for one in ask.options],
            "right": ask.right,
            "values": {name: _shown(value) for name, value in ask.values.items()},
            "counts": ask.counts,
            "names": ask.names,
            "after": ask.after,
            "figures": list(ask.figures),
            "revealed": list(ask.revealed),
        }
        for ask in card.asks
    ]
    facts = {"room": card.room, "place": card.place, "then": card.then, "asks": asks, "lists": card.lists}
    arrays = {
        f"{place}.{name}": array
        for place, ask in enumerate(card.asks)
        for name, array in {**ask.figures, **ask.revealed}.items()
    }
    return facts, arrays
