"""JSON from elsewhere: read strictly, and its values as messages show them."""

from __future__ import annotations

import json
import math
import re
import reprlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, NoReturn

from neocog.errors import FormatError
from neocog.nn.limits import shown

MAX_NESTING = 100
"""How deep JSON may nest; what neocog writes stays below half of it, however deep Sequentials do."""

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


def parse_json(text: bytes | str, where: str) -> dict[str, Any]:
    """Read a JSON object strictly: no NaN or infinity, no repeated keys, nothing but JSON and valid Unicode.

    Raises:
        FormatError: it is not such an object, or nested more than MAX_NESTING deep; the message begins with `where`.
    """

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    def finite(digits: str) -> float:
        value = float(digits)
        if math.isinf(value):
            raise ValueError(f"{shown_value(digits)} is beyond what a float can hold")
        return value

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        entries = dict(pairs)
        if len(entries) < len(pairs):
            twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
            raise ValueError(f"{shown_value(twice)} occurs twice")
        return entries

    try:
        if isinstance(text, bytes):
            text = text.decode()
        value = json.loads(text, parse_constant=refuse, parse_float=finite, object_pairs_hook=unique)
    except RecursionError:
        raise FormatError(f"{where} is nested too deep") from None
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise FormatError(f"{where} is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise FormatError(f"{where} must be a JSON object, got {type(value).__name__}")
    if text.count("[") + text.count("{") > MAX_NESTING and _nesting(value) > MAX_NESTING:
        raise FormatError(f"{where} is nested too deep")
    if _SURROGATE.search(text):  # half of a pair: it could be neither shown nor written again
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            raise FormatError(f"{where} is not valid Unicode: {half!r} is half of a character") from None
    return value


def _nesting(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_NESTING:
        depth += 1
        inner = (entry.values() if isinstance(entry, dict) else entry for entry in level)
        level = [entry for entries in inner for entry in entries if isinstance(entry, dict | list)]
    return depth


class _Short(reprlib.Repr):
    """Values of any size and depth in little time."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxstring, self.maxother = 4, 60, 60
        self.maxlist = self.maxtuple = self.maxdict = 8

    def repr_int(self, x: int, level: int) -> str:
        return shown(x)


_SHORT = _Short()


def shown_value(value: object) -> str:
    """Return a JSON value as messages show it, shortened; whatever it is, that neither fails nor takes long."""
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(faults: Sequence[str], most: int = 8) -> tuple[str, ...]:
    """Return faults as details of a message, the first of very many."""
    return (*faults[:most], f"and {len(faults) - most:,} more") if len(faults) > most else tuple(faults)
