"""Values brought into another order: loops that walk two tensors with constant strides.

What moves values and computes nothing is such a copy: channels cut out or shuffled, channels laid out as pixels, pixels
repeated; and each has a copy that goes the other way, for the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Tensor
from neocog.plan.loops import Axis
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, walked


@dataclass(frozen=True, slots=True)
class Copy(Op):
    """y = x in another order. Every value of y is written once, with zeros past its channels.

    Arguments:
        x, y: from where to where; both lie in whole vectors.
        walk: over the pixels of y: how far each iteration moves y (`out`) and x (`a`). An item is an iteration of the
            first loop, of one image.
        channels: the loops over the channels of such a pixel, the last of which is fastest: how far x moves.
        first: where the first of these values lies, elements from the pixel of x that the walk is at.
        skip: so many channels of y before them are zeros.
        sums: loops over values of x that are added up for one of y.
    """

    x: Tensor
    y: Tensor
    walk: tuple[Axis, ...]
    channels: tuple[Axis, ...]
    first: int = 0
    skip: int = 0
    sums: tuple[Axis, ...] = ()

    @property
    def items(self) -> int:
        """One iteration of the first loop of one image each: a row, or several."""
        return self.y.images * self.walk[0].extent

    @property
    def copied(self) -> int:
        """How many channels of a pixel of y come from x."""
        return math.prod(axis.extent for axis in self.channels)

    def sources(self) -> list[int]:
        """Return where each of these channels lies in x, elements from the pixel that the walk is at."""
        places = [self.first]
        for axis in self.channels:
            places = [place + number * axis.a for place in places for number in range(axis.extent)]
        return places

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
        """Yield pixels off whole vectors, and loops that leave out values or look past an image."""
        yield from off_vectors(self.name, lanes, self.x, self.y)
        pixels = math.prod(axis.extent for axis in self.walk)
        if pixels != self.y.height * self.y.width or self.skip + self.copied > self.y.channels:
            yield f"{self.name}: loops do not walk {self.y.name!r}"
        inside = (self.x.height - 1) * self.x.row_step + self.x.width * self.x.pitch
        far = sum((axis.extent - 1) * axis.a for axis in (*self.walk, *self.channels, *self.sums))
        if not 0 <= self.first <= self.first + far < inside:
            yield f"{self.name}: loops leave {self.x.name!r}"

    def details(self) -> Iterator[str]:
        """Yield how the channels of a pixel move."""
        steps = " · ".join(f"{axis.extent} by {axis.a}" for axis in self.channels)
        zeros = f" behind {self.skip} zeros" if self.skip else ""
        added = f", sums of {math.prod(axis.extent for axis in self.sums)}" if self.sums else ""
        yield f"channels from {self.first}: {steps}{zeros}{added}"


def cut(name: str, x: Tensor, y: Tensor, first: int) -> Copy:
    """Take as many channels as y has, from `first` on."""
    return Copy(name, x, y, _pixels(x, y), (Axis(y.channels, 0, 1),), first)


def placed(name: str, x: Tensor, y: Tensor, first: int) -> Copy:
    """Put all channels of x into y from `first` on; the others become zeros."""
    return Copy(name, x, y, _pixels(x, y), (Axis(x.channels, 0, 1),), skip=first)


def shuffled(name: str, x: Tensor, y: Tensor, groups: int) -> Copy:
    """Deal the channels of each group out in turn. With channels / groups for groups, it is undone."""
    run = x.channels // groups
    return Copy(name, x, y, _pixels(x, y), (Axis(run, 0, 1), Axis(groups, 0, run)))


def spread(name: str, x: Tensor, y: Tensor, factor: int) -> Copy:
    """Lay channels out as blocks of pixels."""
    walk = (
        Axis(x.height, factor * y.row_step, x.row_step),
        Axis(x.width, factor * y.pitch, x.pitch),
        Axis(factor, y.row_step, factor),
        Axis(factor, y.pitch, 1),
    )
    return Copy(name, x, y, walk, (Axis(y.channels, 0, factor * factor),))


def gathered(name: str, x: Tensor, y: Tensor, factor: int) -> Copy:
    """Make channels of blocks of pixels: the way back of `spread`."""
    channels = (Axis(x.channels, 0, 1), Axis(factor, 0, x.row_step), Axis(factor, 0, x.pitch))
    return Copy(name, x, y, _blocks(x, y, factor, factor), channels)


def repeated(name: str, x: Tensor, y: Tensor, rows: int, columns: int) -> Copy:
    """Make a block of equal pixels of each pixel."""
    walk = (
        Axis(x.height, rows * y.row_step, x.row_step),
        Axis(x.width, columns * y.pitch, x.pitch),
        Axis(rows, y.row_step, 0),
        Axis(columns, y.pitch, 0),
    )
    return Copy(name, x, y, walk, (Axis(x.channels, 0, 1),))


def totalled(name: str, x: Tensor, y: Tensor, rows: int, columns: int) -> Copy:
    """Add the pixels of each block up: the way back of `repeated`."""
    sums = (Axis(rows, 0, x.row_step), Axis(columns, 0, x.pitch))
    return Copy(name, x, y, _blocks(x, y, rows, columns), (Axis(x.channels, 0, 1),), sums=sums)


def _pixels(x: Tensor, y: Tensor) -> tuple[Axis, ...]:
    return _blocks(x, y, 1, 1)


def _blocks(x: Tensor, y: Tensor, rows: int, columns: int) -> tuple[Axis, ...]:
    """Return the loops over the pixels of y, each of which stands for a block of x."""
    return (Axis(y.height, y.row_step, rows * x.row_step), Axis(y.width, y.pitch, columns * x.pitch))
