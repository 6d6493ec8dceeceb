"""What the slices of a training step give each other: points at which a program waits for its caller.

A program of slices is run for one slice after the other, by one process or several. What hangs on parameters alone is
done once for all slices of a process. Up to an exchange, each slice is then alone; the caller brings together what all
of them have, and goes on. No code is emitted for these ops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Operand
from neocog.plan.ops.op import Op, Part, Reach


@dataclass(frozen=True, slots=True)
class ForEachSlice(Op):
    """From here on, stages are run for each slice of a process; those before were run once for all of them."""

    @property
    def items(self) -> int:
        """Nothing is done here."""
        return 1

    def reads(self) -> tuple[Part, ...]:
        """Return nothing."""
        return ()

    def writes(self) -> tuple[Part, ...]:
        """Return nothing."""
        return ()

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield nothing."""
        yield from ()


@dataclass(frozen=True, slots=True)
class GatherSlices(Op):
    """Every slice gets what all of them have, side by side in their order.

    Arguments:
        own: what the slice at hand has.
        everyone: where that of all goes.
        size: elements of one.
        slices: how many there are.
    """

    own: Operand
    everyone: Operand
    size: int
    slices: int

    @property
    def items(self) -> int:
        """Everything at once."""
        return 1

    def reads(self) -> tuple[Part, ...]:
        """Return what the slice has."""
        return (self.own,)

    def writes(self) -> tuple[Part, ...]:
        """Return that of all."""
        return (self.everyone,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield both."""
        yield Reach("own", self.own, 0, self.size - 1)
        yield Reach("everyone", self.everyone, 0, self.slices * self.size - 1)

    def details(self) -> Iterator[str]:
        """Yield how much is exchanged."""
        yield f"{self.size:,} values of each of {self.slices} slices"


@dataclass(frozen=True, slots=True)
class SumSlices(Op):
    """The gradients of all slices, and what the caller writes behind them, are added up in a tree over their numbers.
    What follows is done once.
    """

    gradients: Operand
    size: int

    @property
    def items(self) -> int:
        """Everything at once."""
        return 1

    def reads(self) -> tuple[Part, ...]:
        """Return the slice's gradients."""
        return (self.gradients,)

    def writes(self) -> tuple[Part, ...]:
        """Return the sums, which take their place."""
        return (self.gradients,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield the gradients."""
        yield Reach("gradients", self.gradients, 0, self.size - 1)

    def details(self) -> Iterator[str]:
        """Yield how much is exchanged."""
        yield f"{self.size:,} values"


Exchange = ForEachSlice | GatherSlices | SumSlices
EXCHANGES = (ForEachSlice, GatherSlices, SumSlices)
