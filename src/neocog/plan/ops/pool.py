"""Pooling, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from neocog.nn.window import EvenWindow, Window
from neocog.plan.blocked import Blocked
from neocog.plan.layout import Tensor
from neocog.plan.ops.epilogue import Epilogue, labels, read_by, vectors_reached
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_size, present, walked
from neocog.plan.ops.pointwise import tensors_of


@dataclass(frozen=True, slots=True)
class Pool(Op):
    """Max or average pooling. Training notes the argmax of each window in a mask: its place, row by row.

    Arguments:
        window: how it walks over x.
        largest: whether the largest value is kept, not the mean.
        mask: where the argmax of each window goes.
        clamped: whether x comes out of a ReLU: then no cell is marked where nothing is above zero.
        counted: of a mean, the same walk over the pixels that count; what a window has outside of them adds nothing to
            its sum, and is not divided by. None: every cell of a window counts.
    """

    takes_blocked: ClassVar[bool] = True

    x: Tensor
    y: Tensor
    window: Window | EvenWindow
    largest: bool
    mask: Tensor | None
    clamped: bool = False
    counted: Window | None = None

    @property
    def items(self) -> int:
        """One row of one output image each."""
        return self.y.images * self.y.height

    def reads(self) -> tuple[Part, ...]:
        """Return the images."""
        return (self.x,)

    def writes(self) -> tuple[Part, ...]:
        """Return the pooled ones, and the mask."""
        return present(self.y, self.mask)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        yield from walked("x", self.x)
        yield from walked("y", self.y)
        yield from walked("mask", self.mask)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield images that do not fit the window's walk, and pixels off whole vectors."""
        v, h = self.window.vertical, self.window.horizontal
        yield from other_size(self.name, self.x, v.input, h.input)
        yield from other_size(self.name, self.y, v.output, h.output)
        yield from off_vectors(self.name, lanes, self.x, self.y, self.mask)


@dataclass(frozen=True, slots=True)
class PoolBackward(Op):
    """Send each window's gradient to its argmax, or share it equally; overlapping windows add up.

    The epilogue happens to each share before it is added or stored, or to their sum: it must be linear. `counted` is as
    in `Pool`.
    """

    takes_blocked: ClassVar[bool] = True

    dy: Tensor
    dx: Tensor
    window: Window | EvenWindow
    mask: Tensor | None
    epilogue: Epilogue = ()
    counted: Window | None = None

    @property
    def overlapping(self) -> bool:
        """Whether a pixel may lie in several windows."""
        return self.window.vertical.overlaps or self.window.horizontal.overlaps

    @property
    def gathers(self) -> bool:
        """Whether each pixel adds up what the windows over it send: sums are float32, and no place for them is there
        where it lies as bfloat16.
        """
        return self.overlapping and isinstance(self.dx, Blocked)

    @property
    def clears(self) -> bool:
        """Whether an image is cleared first: where windows add up, and where what they leave out is written too."""
        return not self.gathers and (self.overlapping or (isinstance(self.dx, Blocked) and not self.covers))

    @property
    def covers(self) -> bool:
        """Whether each pixel lies in a window."""
        return self.window.vertical.covers and self.window.horizontal.covers

    @property
    def items(self) -> int:
        """One row of windows each, or of pixels that gather; a whole image where it is cleared first, so that no two
        items meet.
        """
        rows = self.dx.height if self.gathers else self.dy.height
        return self.dy.images * (1 if self.clears else rows)

    def reads(self) -> tuple[Part, ...]:
        """Return the gradient, and the mask."""
        return present(self.dy, self.mask, *read_by(self.epilogue))

    def writes(self) -> tuple[Part, ...]:
        """Return the gradient of what was pooled."""
        return (self.dx,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all pixels."""
        yield from walked("dy", self.dy)
        yield from walked("mask", self.mask)
        for tensor in tensors_of(self.epilogue):
            yield from walked("epilogue", tensor)
        yield from vectors_reached(self.epilogue, -(-self.dx.channels // lanes) * lanes)
        yield from walked("dx", self.dx)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield gradients that do not fit the window's walk, and pixels off whole vectors."""
        v, h = self.window.vertical, self.window.horizontal
        if self.gathers and not isinstance(self.window, Window):
            yield f"{self.name}: pixels of {self.dx.name!r} do not know which windows of several sizes lie over them"
        yield from other_size(self.name, self.dx, v.input, h.input)
        yield from other_size(self.name, self.dy, v.output, h.output)
        yield from off_vectors(self.name, lanes, self.dx, self.dy, self.mask, *tensors_of(self.epilogue))
        for tensor in tensors_of(self.epilogue):
            yield from other_size(self.name, tensor, v.input, h.input)

    def details(self) -> Iterator[str]:
        """Yield what is fused."""
        if self.epilogue:
            yield f"fused: {', '.join(labels(self.epilogue))}"

    def spares(self) -> tuple[Part, ...]:
        """Return the gradient where there are pixels between windows, which keep the zeros that they were made with."""
        return () if self.clears or self.gathers or self.covers else (self.dx,)
