"""Bilinear interpolation: an image enlarged, and the gradient on its way back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Tensor
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_channels, walked


@dataclass(frozen=True, slots=True)
class Interpolate(Op):
    """y = x enlarged: each pixel a weighted mean of the four around its place in x, or as many as there are."""

    x: Tensor
    y: Tensor

    @property
    def items(self) -> int:
        """One row of one enlarged image each."""
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
        """Yield what is no enlargement, and pixels off whole vectors."""
        yield from _faults(self.name, self.x, self.y, lanes)


@dataclass(frozen=True, slots=True)
class InterpolateGradient(Op):
    """dx = for each pixel, the gradients of all that it had a share in, by these shares."""

    dy: Tensor
    dx: Tensor

    @property
    def items(self) -> int:
        """One row of one small image each."""
        return self.dx.images * self.dx.height

    def reads(self) -> tuple[Part, ...]:
        """Return the gradient of the enlarged image."""
        return (self.dy,)

    def writes(self) -> tuple[Part, ...]:
        """Return the gradient of the small one."""
        return (self.dx,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        yield from walked("dy", self.dy)
        yield from walked("dx", self.dx)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield what is no enlargement, and pixels off whole vectors."""
        yield from _faults(self.name, self.dx, self.dy, lanes)


def _faults(name: str, small: Tensor, large: Tensor, lanes: int) -> Iterator[str]:
    if small.height > large.height or small.width > large.width:
        yield f"{name}: {large.name!r} is no enlarged {small.name!r}"
    yield from other_channels(name, large, small.channels)
    yield from off_vectors(name, lanes, small, large)
