"""The words of the cards, in both languages: `en.toml` and `zh.toml`, in which a test compares what is filled in."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

LANGUAGES = ("en", "zh")


@cache
def all_words(language: str) -> dict[str, Any]:
    """Return the words of all cards in a language, by their rows: `title`, `tell`, and for each question `ask`, `says`
    of answers in words, `why` each is right or wrong, and what is told `after` it.
    """
    return tomllib.loads((files("neocog.app.page.lesson") / f"{language}.toml").read_text(encoding="utf-8"))


def words_of(row: str) -> dict[str, Any]:
    """Return the words of a card, by language."""
    return {language: all_words(language)[row] for language in LANGUAGES}


def titles() -> dict[str, list[str]]:
    """Return the titles of all cards, by language."""
    return {language: [words["title"] for words in all_words(language).values()] for language in LANGUAGES}
