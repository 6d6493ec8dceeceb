"""Functions of one value at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Tensor
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_size, present, walked


@dataclass(frozen=True, slots=True)
class Dropping:
    """How a Dropout drops: `key_slot` is where the program's arguments hold the step's key.

    `height` and `width` are those of the whole image: the bits of a value depend on its place there.
    """

    key_slot: int
    rate: float
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Elementwise(Op):
    """y = f(x), value by value: ReLU, a Dropout, and the gate of a ReLU's backward pass, in this order."""

    x: Tensor
    y: Tensor
    relu: bool = False
    dropping: Dropping | None = None
    gate: Tensor | None = None

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.y.images * self.y.height

    def reads(self) -> tuple[Part, ...]:
        """Return x, and the activation that gates it."""
        return present(self.x, self.gate)

    def writes(self) -> tuple[Part, ...]:
        """Return y."""
        return (self.y,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        yield from walked("x", self.x)
        yield from walked("gate", self.gate)
        yield from walked("y", self.y)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, and pixels off whole vectors."""
        yield from other_size(self.name, self.x, self.y.height, self.y.width)
        yield from off_vectors(self.name, lanes, self.x, self.y, self.gate)
