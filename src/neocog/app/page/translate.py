"""What Python tells in words, in the page's other language.

Errors and notes are written in English where they arise. `messages.toml` has each of them once more, as a pattern with
{} for values, and what it is in Chinese. Values may be messages themselves, such as the title of a layer.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files

LANGUAGES = ("zh",)  # besides English


@cache
def catalogue(language: str) -> dict[str, str]:
    """Return the messages of a language: the English one, with {} for each value → with {0}, {1}, … for them."""
    text = (files("neocog.app.page") / "messages.toml").read_text(encoding="utf-8")
    found: dict[str, str] = tomllib.loads(text)[language]
    return found


@cache
def _patterns(language: str) -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return what recognises messages: those with most words of their own first."""
    known = sorted(catalogue(language).items(), key=lambda entry: -len(entry[0].replace("{}", "")))
    return tuple((re.compile("(.+?)".join(map(re.escape, text.split("{}"))), re.DOTALL), said) for text, said in known)


def translated(text: str, language: str) -> str:
    """Return a message in another language; one that is not known stays as it is.

    >>> translated("layer 3 (Linear) is not explained yet", "zh")
    '第 3 层（Linear）还不能讲解'
    """
    for pattern, said in _patterns(language):
        found = pattern.fullmatch(text)
        if found:
            return said.format(*(translated(value, language) for value in found.groups()))
    return text


def in_all_languages(text: str | None) -> dict[str, str] | None:
    """Return a message by language; None stays None."""
    if text is None:
        return None
    return {"en": text, **{language: translated(text, language) for language in LANGUAGES}}
