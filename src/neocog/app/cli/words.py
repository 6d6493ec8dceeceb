"""The words of the command line, as they were typed: a run remembers with which it was started."""

from __future__ import annotations

from collections.abc import Sequence

import click

_KEY = "neocog.words"


def keep_words(ctx: click.Context, words: Sequence[str]) -> None:
    """Note the words behind `neocog`; what parses them takes them apart."""
    ctx.meta[_KEY] = tuple(words)


def words_given() -> tuple[str, ...]:
    """Return the words behind `neocog` of the command that runs."""
    words: tuple[str, ...] = click.get_current_context().meta.get(_KEY, ())
    return words
