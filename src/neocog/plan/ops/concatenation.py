"""Channels of several images put side by side. `copy.cut` takes them apart again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Tensor
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_channels, other_size, walked


@dataclass(frozen=True, slots=True)
class Concatenation(Op):
    """Write the channels of each pixel of several tensors behind each other, in order."""

    inputs: tuple[Tensor, ...]
    y: Tensor

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.y.images * self.y.height

    def reads(self) -> tuple[Part, ...]:
        """Return what is put together."""
        return self.inputs

    def writes(self) -> tuple[Part, ...]:
        """Return the whole."""
        return (self.y,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        for number, x in enumerate(self.inputs):
            yield from walked(f"input {number}", x)
        yield from walked("y", self.y)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, and pixels off whole vectors."""
        for x in self.inputs:
            yield from other_size(self.name, x, self.y.height, self.y.width)
        yield from other_channels(self.name, self.y, sum(x.channels for x in self.inputs))
        yield from off_vectors(self.name, lanes, *self.inputs, self.y)

    def details(self) -> Iterator[str]:
        """Yield what goes where."""
        yield " + ".join(str(x.channels) for x in self.inputs) + " channels"
