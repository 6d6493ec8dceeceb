"""Portions of flat arrays, and how any number of threads share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ITEM_ELEMENTS = 1024  # elements that one item of a pass over a flat array covers


@dataclass(frozen=True, slots=True)
class Portion:
    """Elements of a flat array, one behind another, that are treated alike: where they begin, and how many they are."""

    first: int
    size: int

    @property
    def end(self) -> int:
        """Where the elements behind it begin."""
        return self.first + self.size

    @property
    def chunks(self) -> int:
        """Pieces of it that any thread may take."""
        return chunks_of(self.size)


def chunks_of(size: int) -> int:
    """Count the pieces of so many elements that any thread may take."""
    return -(-size // ITEM_ELEMENTS)


def all_chunks(portions: Sequence[Portion]) -> int:
    """Count the chunks of all portions, each of which begins with a chunk of its own."""
    return sum(portion.chunks for portion in portions)
