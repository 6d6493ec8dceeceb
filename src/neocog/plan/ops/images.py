"""Images brought in, and moved between layouts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.nn.shapes import ImageShape
from neocog.plan.layout import Operand, Tensor
from neocog.plan.ops.op import Op, Part, Reach, present, walked


@dataclass(frozen=True, slots=True)
class LoadImages(Op):
    """Bring the caller's images in: uint8 or float32, (value · scale + shift) per channel, into a padded tensor.

    `source` is the size that the caller's images have; `out` may hold fewer rows and columns. Where it holds 8-bit
    integers, `inverse` is where one by their scale lies.
    """

    out: Tensor
    source: ImageShape
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    inverse: Operand | None = None

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.out.images * self.out.height

    def reads(self) -> tuple[Part, ...]:
        """Return nothing but a scale: images are the caller's."""
        return present(self.inverse)

    def writes(self) -> tuple[Part, ...]:
        """Return the images."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels, and the scale."""
        yield from walked("out", self.out)
        if self.inverse is not None:
            yield Reach("inverse", self.inverse, 0, 0, aligned=False)

    def spares(self) -> tuple[Part, ...]:
        """Return the images where only as many channels as there are get written."""
        return (self.out,) if self.out.pitch != self.out.channels else ()


@dataclass(frozen=True, slots=True)
class Repack(Op):
    """Copy images between memory layouts: Flatten where channels do not fill whole vectors, and its way back."""

    x: Tensor
    y: Tensor

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.y.images * self.y.height

    def reads(self) -> tuple[Part, ...]:
        """Return the images, or vectors."""
        return (self.x,)

    def writes(self) -> tuple[Part, ...]:
        """Return the other of the two."""
        return (self.y,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        yield from walked("x", self.x)
        yield from walked("y", self.y)

    def spares(self) -> tuple[Part, ...]:
        """Return what is written where values do not fill whole vectors."""
        return (self.y,) if self.y.pitch != self.y.channels else ()
