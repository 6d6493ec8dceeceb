"""What a session keeps between questions: so many things, of so many bytes in all, the latest."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

import numpy as np

from neocog.explain.observed import ExactParameters

Key = TypeVar("Key")
Value = TypeVar("Value")


def bytes_of(value: object) -> int:
    """Return how many bytes of arrays a value holds: itself, or in its fields, items and parameters.

    >>> bytes_of({"a": np.zeros(4), "b": (np.zeros(2, np.uint8), "text")})
    34
    """
    return _count(value, set())


def _count(value: Any, seen: set[int]) -> int:
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        if isinstance(value.base, np.ndarray):  # a view keeps all of what it looks at
            return _count(value.base, seen)
        return value.nbytes
    if isinstance(value, ExactParameters):
        return 0  # the model's own, which are there anyway
    if isinstance(value, Mapping):
        return sum(_count(item, seen) for item in value.values())
    if isinstance(value, list | tuple):
        return sum(_count(item, seen) for item in value)
    if is_dataclass(value):
        return sum(_count(getattr(value, field.name, None), seen) for field in fields(value))
    return _count(getattr(value, "parameters", None), seen)


class Kept(OrderedDict[Key, Value]):
    """Forgets the oldest of too many things, or of too many bytes; never the newest, nor the one that is spared.

    Arguments:
        most: how many things.
        most_bytes: of arrays in all of them.
        spared: the key of one that stays.
    """

    def __init__(self, most: int, most_bytes: int, spared: Key | None = None) -> None:
        super().__init__()
        self._most, self._most_bytes, self._spared = most, most_bytes, spared
        self._sizes: dict[Key, int] = {}  # of each, counted once: to ask a model for its parameters may copy them

    def __setitem__(self, key: Key, value: Value) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        self._sizes[key] = bytes_of(value)
        for old in [kept for kept in self if kept not in (key, self._spared)]:
            if len(self) <= self._most and sum(self._sizes.values()) <= self._most_bytes:
                break
            del self[old]

    def __delitem__(self, key: Key) -> None:
        super().__delitem__(key)
        del self._sizes[key]
