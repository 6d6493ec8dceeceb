"""Softmax over the channels of each pixel, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Tensor
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_channels, other_size, walked


@dataclass(frozen=True, slots=True)
class SoftmaxForward(Op):
    """y = exp(x) / Σ exp(x) over the channels of a pixel."""

    x: Tensor
    y: Tensor

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.y.images * self.y.height

    def reads(self) -> tuple[Part, ...]:
        """Return x."""
        return (self.x,)

    def writes(self) -> tuple[Part, ...]:
        """Return y."""
        return (self.y,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        yield from walked("x", self.x)
        yield from walked("y", self.y)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, and pixels off whole vectors."""
        yield from other_size(self.name, self.x, self.y.height, self.y.width)
        yield from other_channels(self.name, self.x, self.y.channels)
        yield from off_vectors(self.name, lanes, self.x, self.y)


@dataclass(frozen=True, slots=True)
class SoftmaxBackward(Op):
    """dx = y (dy - Σ dy y) over the channels of a pixel."""

    y: Tensor
    dy: Tensor
    dx: Tensor

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.dx.images * self.dx.height

    def reads(self) -> tuple[Part, ...]:
        """Return what came out, and its gradient."""
        return (self.y, self.dy)

    def writes(self) -> tuple[Part, ...]:
        """Return the gradient of what went in."""
        return (self.dx,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        yield from walked("y", self.y)
        yield from walked("dy", self.dy)
        yield from walked("dx", self.dx)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, and pixels off whole vectors."""
        for tensor in (self.y, self.dy):
            yield from other_size(self.name, tensor, self.dx.height, self.dx.width)
            yield from other_channels(self.name, tensor, self.dx.channels)
        yield from off_vectors(self.name, lanes, self.y, self.dy, self.dx)
