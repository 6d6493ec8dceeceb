"""What a first convolution sees of the rows of its images, laid out for products of tiles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from neocog.plan.blocked import PLANE, Blocked
from neocog.plan.layout import Tensor, operand
from neocog.plan.ops.op import Op, Part, Reach, walked


@dataclass(frozen=True, slots=True)
class Stack(Op):
    """Lay what a window sees in one row of a float32 image side by side, as the channels of a bfloat16 position: so few
    channels of an image fill a plane.

    Arguments:
        x: images of few channels, value by value, with the zeros that windows see.
        y: of as many columns as the window has outputs, and the rows of x.
        before, stride: of the window's walk along a row, pixels.
    """

    takes_blocked: ClassVar[bool] = True

    x: Tensor
    y: Blocked
    before: int
    stride: int

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.y.images * self.y.height

    def reads(self) -> tuple[Part, ...]:
        """Return the images."""
        return (self.x,)

    def writes(self) -> tuple[Part, ...]:
        """Return the stacked ones."""
        return (self.y,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield the windows, whole planes wide, and all that is written."""
        x = self.x
        last = (x.images - 1) * x.image_step + (x.height - 1) * x.row_step
        last += (self.y.width - 1) * self.stride * x.pitch + PLANE - 1
        yield Reach("x", operand(x, x.origin - self.before * x.pitch), 0, last, aligned=False)
        yield from walked("y", self.y)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield pixels that are apart, and windows that no plane holds."""
        if self.x.pitch != self.x.channels:
            yield f"{self.name}: pixels of {self.x.name!r} lie apart"
        if self.y.channels > PLANE or self.y.height != self.x.height:
            yield f"{self.name}: {self.y.name!r} holds no windows of {self.x.name!r}"
