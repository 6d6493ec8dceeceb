"""Work on vectors of a value a channel: the statistics of normalizations, and what follows from them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from neocog.plan.layout import Operand
from neocog.plan.ops.op import Op, Part, Reach, present

Vectors = Mapping[str, tuple[Operand | None, int]]
"""Operands by name, and how many vectors each has; None is left out."""


@dataclass(frozen=True, slots=True)
class ByChannel(Op):
    """An op whose operands are vectors of a value a channel, worked on at once: there are too few to share out.

    A subclass says which vectors it takes, gives, and brings up to date. Those that it gives as `out` are read whole,
    so that what fills up the last one must stay zero.

    Arguments:
        channels, step: of a vector; elements from one vector to the next.
    """

    channels: int
    step: int

    @abstractmethod
    def taken(self) -> Vectors:
        """Return the vectors that are read."""

    @abstractmethod
    def given(self) -> Vectors:
        """Return the vectors that are written."""

    def updated(self) -> Vectors:
        """Return the vectors that are read, and written anew."""
        return {}

    @property
    def items(self) -> int:
        """All channels at once."""
        return 1

    def reads(self) -> tuple[Part, ...]:
        """Return what is taken, and what is brought up to date."""
        return _operands(self.taken(), self.updated())

    def writes(self) -> tuple[Part, ...]:
        """Return what is given, and what is brought up to date."""
        return _operands(self.given(), self.updated())

    def spares(self) -> tuple[Part, ...]:
        """Return the vectors that are read whole."""
        return present(self.given().get("out", (None, 0))[0])

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all vectors."""
        for vectors in (self.taken(), self.given(), self.updated()):
            for name, (operand, count) in vectors.items():
                if operand is not None:
                    yield Reach(name, operand, 0, count * self.step - 1)


def _operands(*groups: Vectors) -> tuple[Part, ...]:
    return present(*(operand for group in groups for operand, _ in group.values()))
