"""Pooling of bfloat16 images, where a program predicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from neocog.nn.window import EvenWindow, Window
from neocog.plan.blocked import Blocked
from neocog.plan.layout import Tensor
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_channels, other_size, walked


@dataclass(frozen=True, slots=True)
class HalfPool(Op):
    """Max or average pooling. The mean is taken in float32, and of what is stored already as bfloat16.

    Arguments:
        x: the images.
        y: the pooled ones, bfloat16 or float32.
        window: how it walks over x.
        largest: whether the largest value is kept, not the mean.
        counted: of a mean, as in `Pool`.
    """

    takes_blocked: ClassVar[bool] = True

    x: Blocked
    y: Tensor
    window: Window | EvenWindow
    largest: bool
    counted: Window | None = None

    @property
    def items(self) -> int:
        """One row of one output image each."""
        return self.y.images * self.y.height

    def reads(self) -> tuple[Part, ...]:
        """Return the images."""
        return (self.x,)

    def writes(self) -> tuple[Part, ...]:
        """Return the pooled ones."""
        return (self.y,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        yield from walked("x", self.x)
        yield from walked("y", self.y)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield images that do not fit the window's walk, and pixels off whole vectors."""
        v, h = self.window.vertical, self.window.horizontal
        yield from other_size(self.name, self.x, v.input, h.input)
        yield from other_size(self.name, self.y, v.output, h.output)
        yield from other_channels(self.name, self.x, self.y.channels)
        yield from off_vectors(self.name, lanes, self.x, self.y)
