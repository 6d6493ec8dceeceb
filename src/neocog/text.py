"""Text from elsewhere, made safe to show: names of files, folders and classes hold whatever somebody wrote there."""

from __future__ import annotations

import unicodedata

_CONTROLS = ("Cc", "Zl", "Zp")  # control characters (of terminals too), line and paragraph separators
_SURROGATE = "Cs"  # without its other half: a byte of a name that is not UTF-8, or a slip in JSON
_BIDIRECTIONAL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def printable(text: str, *, keep_bytes: bool = False) -> str:
    """Return text with everything as escapes that would act on a terminal or a line instead of being seen.

    These are control characters, line and paragraph separators, the marks that turn the direction of writing (Unicode
    Standard Annex 9), and lone surrogates: such a one stands for a byte of a name that is not UTF-8 (PEP 383), and
    written out, that byte may be a control character of the terminal. All else stays, emoji and every script included;
    so does text that is safe already.

    Arguments:
        text: any text.
        keep_bytes: leave lone surrogates, for output that programs read: a path is a path only with all of its bytes.

    >>> print(printable("a\\tb"), printable("evil\\x1b[2J"), printable("raw\\udc9b2J"), printable("猫 🦓"))
    a\\tb evil\\x1b[2J raw\\x9b2J 猫 🦓
    """
    if text.isprintable():  # the usual case, and quick
        return text
    return "".join(c if not _acts(c) or (keep_bytes and _is_surrogate(c)) else _escape(c) for c in text)


def _acts(character: str) -> bool:
    return character in _BIDIRECTIONAL or unicodedata.category(character) in (*_CONTROLS, _SURROGATE)


def _is_surrogate(character: str) -> bool:
    return unicodedata.category(character) == _SURROGATE


def _escape(character: str) -> str:
    byte = ord(character) - 0xDC00
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else ascii(character)[1:-1]
