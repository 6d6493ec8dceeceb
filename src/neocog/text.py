"""Text from elsewhere, made safe to show: names of files, folders and classes hold whatever somebody wrote there."""

from __future__ import annotations

import unicodedata

_CONTROLS = ("Cc", "Zl", "Zp")  # control characters (of terminals too), line and paragraph separators
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str) -> str:
    """Return text with everything as escapes that would act on a terminal or a line instead of being seen.

    These are control characters, line and paragraph separators, and the marks that turn the direction of writing
    (Unicode Standard Annex 9). All else stays, emoji and every script included; so does text that is safe already.

    >>> print(printable("a\\tb"), printable("evil\\x1b[2J"), printable("猫 🦓"))
    a\\tb evil\\x1b[2J 猫 🦓
    """
    if text.isprintable():  # the usual case, and quick
        return text
    return "".join(ascii(c)[1:-1] if _acts(c) else c for c in text)


def _acts(character: str) -> bool:
    return character in _BIDIRECTIONAL or unicodedata.category(character) in _CONTROLS
