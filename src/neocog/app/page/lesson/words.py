"""The words of the cards, in both languages: `en.toml` and `zh.toml`, in which a test compares what is filled in.

`{by}` is a number that the page fills in; `{by|pixel|pixels}` a word for one thing, or for another number of them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

LANGUAGES = ("en", "zh")
NOUN = re.compile(r"\{(\w+)\|([^|{}]+)\|([^|{}]+)\}")


@cache
def all_words(language: str) -> dict[str, Any]:
    """Return the words of all cards in a language, by their rows: `title`, `tell`, and for each question `ask`, `says`
    of answers in words, `why` each is right or wrong, and what is told `after` it.
    """
    return tomllib.loads((files("neocog.app.page.lesson") / f"{language}.toml").read_text(encoding="utf-8"))


def words_of(row: str, counts: Mapping[str, int]) -> dict[str, Any]:
    """Return the words of a card, by language, with nouns in the number that its counts ask for."""
    return {language: _numbered(all_words(language)[row], counts) for language in LANGUAGES}


def _numbered(words: Any, counts: Mapping[str, int]) -> Any:
    if isinstance(words, dict):
        return {key: _numbered(part, counts) for key, part in words.items()}
    return NOUN.sub(lambda found: found[2] if counts.get(found[1]) == 1 else found[3], words)


def titles() -> dict[str, list[str]]:
    """Return the titles of all cards, by language."""
    return {language: [words["title"] for words in all_words(language).values()] for language in LANGUAGES}
