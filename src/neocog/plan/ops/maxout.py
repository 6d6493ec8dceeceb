"""Maxout over the channels of each pixel, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Tensor
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_channels, other_size, present, walked


@dataclass(frozen=True, slots=True)
class MaxoutForward(Op):
    """y[c] = max(x[c], x[c + n], x[c + 2n], …) for the n channels of y. Training notes in `mask` which of them it was,
    counted from 0; the first one on a tie.
    """

    x: Tensor
    y: Tensor
    mask: Tensor | None

    @property
    def pieces(self) -> int:
        """How many channels compete for one."""
        return self.x.channels // self.y.channels

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.y.images * self.y.height

    def reads(self) -> tuple[Part, ...]:
        """Return x."""
        return (self.x,)

    def writes(self) -> tuple[Part, ...]:
        """Return y and the mask."""
        return present(self.y, self.mask)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        yield from walked("x", self.x)
        yield from walked("y", self.y)
        yield from walked("mask", self.mask)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, and pixels off whole vectors."""
        yield from other_size(self.name, self.x, self.y.height, self.y.width)
        yield from other_channels(self.name, self.x, self.pieces * self.y.channels)
        yield from _faults_of_mask(self.name, self.mask, self.y, self.pieces)
        yield from off_vectors(self.name, lanes, self.x, self.y, self.mask)


@dataclass(frozen=True, slots=True)
class MaxoutBackward(Op):
    """Send the gradient of each output to the channel that was the largest; the others get 0."""

    dy: Tensor
    mask: Tensor
    dx: Tensor

    @property
    def pieces(self) -> int:
        """How many channels competed for one."""
        return self.dx.channels // self.dy.channels

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.dx.images * self.dx.height

    def reads(self) -> tuple[Part, ...]:
        """Return the gradient, and who it goes to."""
        return (self.dy, self.mask)

    def writes(self) -> tuple[Part, ...]:
        """Return the gradient of what went in."""
        return (self.dx,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        yield from walked("dy", self.dy)
        yield from walked("mask", self.mask)
        yield from walked("dx", self.dx)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield sizes that differ, and pixels off whole vectors."""
        yield from other_size(self.name, self.dx, self.dy.height, self.dy.width)
        yield from other_channels(self.name, self.dx, self.pieces * self.dy.channels)
        yield from _faults_of_mask(self.name, self.mask, self.dy, self.pieces)
        yield from off_vectors(self.name, lanes, self.dy, self.mask, self.dx)


def _faults_of_mask(name: str, mask: Tensor | None, beside: Tensor, pieces: int) -> Iterator[str]:
    """Yield a mask that has other values than what it goes with, or whose elements do not hold the largest number."""
    if mask is None:
        return
    yield from other_size(name, mask, beside.height, beside.width)
    yield from other_channels(name, mask, beside.channels)
    if pieces > 1 << 8 * mask.bytes_each:
        yield f"{name}: {mask.bytes_each} byte(s) of {mask.name!r} cannot tell {pieces} channels apart"
