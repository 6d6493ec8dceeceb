"""The gradient of weights in bfloat16: products of tiles whose sums run over pixels, or over images.

A tile of rows has 32 neighbouring positions of 16 channels, a tile of weights 32 positions of 16 filters, and what
comes out is 16 channels by 16 filters of the gradient of one tap. So channels must lie in rows first (`TurnTiles`), and
what the gradient of the output has at two neighbouring positions beside each other (`PairTiles`), once for all taps: to
a tap belongs the same row, so many positions on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from neocog.plan.blocked import PANEL, PLANE, Blocked
from neocog.plan.layout import Name, Operand, Panels
from neocog.plan.ops.op import Op, Part, Reach, present, uneven_groups, walked
from neocog.plan.ops.product import PANEL_TAP, SUMS, planes_seen

STEP = PLANE  # positions that one product of tiles adds up


@dataclass(frozen=True, slots=True)
class Places:
    """How the pixels of a layer's output are counted, and where in a row of x those lie that a tap meets.

    Of images, positions are `line` from row to row. Of a stride, what it treats alike lies side by side: x is cut into
    as many phases, each of which has rows of its own. Of a fully connected layer, positions are the images themselves,
    and each tap, which is a pixel, has rows of its own.

    Arguments:
        images: that are counted one by one; 1 where they are the positions.
        count: positions of one, those between its rows included.
        line: positions from a row to the next one.
        taps, dilation, stride, before: of the window, down and across.
        phases: so many of each axis have rows of their own.
        whole: whether positions are images.
    """

    images: int
    count: int
    line: int
    taps: tuple[int, int]
    dilation: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)
    phases: tuple[int, int] = (1, 1)
    whole: bool = False

    @property
    def steps(self) -> int:
        """Products of tiles that add up the positions of one image."""
        return -(-self.count // STEP)

    @property
    def seen(self) -> tuple[int, int]:
        """Rows and columns of a phase that taps meet."""
        height, width = ((self.count - 1) // self.line + 1, (self.count - 1) % self.line + 1)
        down, across = self._furthest()
        return height + down, width + across

    def _furthest(self) -> tuple[int, int]:
        """Return the rows and columns from the first tap to the last one of a phase."""
        down, across = (
            (taps - 1) * dilation // stride
            for taps, dilation, stride in zip(self.taps, self.dilation, self.stride, strict=True)
        )
        return down, across

    @property
    def length(self) -> int:
        """Positions of a row of x: whole steps, those of the last tap included."""
        down, across = (0, 0) if self.whole else self._furthest()
        return -(-(self.steps * STEP + down * self.line + across) // STEP) * STEP

    @property
    def apart(self) -> int:
        """So many times each channel of an image has a row: phases, or pixels."""
        down, across = self.taps if self.whole else self.phases
        return down * across


@dataclass(frozen=True, slots=True)
class TurnTiles(Op):
    """Lay channels out in rows: [image][channel // 32][phase][channel % 32][position], with zeros where no pixel is.

    Arguments:
        x: the images.
        places: which positions there are.
        out: where they go.
    """

    takes_blocked: ClassVar[bool] = True

    x: Blocked
    places: Places
    out: Operand

    @property
    def items(self) -> int:
        """A plane of an image each; or of a pixel, for all images."""
        return self.places.images * self.x.planes * (self.places.apart if self.places.whole else 1)

    @property
    def flat(self) -> bool:
        """Whether positions lie in x as they are counted."""
        return not self.places.whole and self.places.stride == (1, 1) and self.x.line == self.places.line

    @property
    def size(self) -> int:
        """Elements that are written."""
        return self.places.images * self.x.planes * self.places.apart * PLANE * self.places.length

    def reads(self) -> tuple[Part, ...]:
        """Return the images."""
        return (self.x,)

    def writes(self) -> tuple[Part, ...]:
        """Return the rows."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all images, and all rows."""
        yield from walked("x", self.x)
        yield Reach("rows", self.out, 0, self.size - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield zeros that the images lack, and images that are fewer than the positions that they are."""
        places, halo = self.places, self.x.halo
        if self.flat and (places.before[0] > halo.top or places.before[1] > halo.left):
            yield f"{self.name}: {self.x.name!r} lacks zeros before its pixels"
        if places.whole and (places.count != self.x.images or places.taps != (self.x.height, self.x.width)):
            yield f"{self.name}: {self.x.name!r} has other images or pixels than are counted"


@dataclass(frozen=True, slots=True)
class PairTiles(Op):
    """Lay two neighbouring positions beside each other, as tiles of weights have them:
    [image][filter // 32][position // 32][filter // 16 % 2][position // 2 % 16][filter % 16][position % 2].

    Arguments:
        dy: the gradient of what a layer gave; between its rows are zeros.
        places: which positions there are.
        out: where they go; behind the last position are zeros.
    """

    takes_blocked: ClassVar[bool] = True

    dy: Blocked
    places: Places
    out: Operand

    @property
    def items(self) -> int:
        """A plane of an image each."""
        return self.places.images * self.dy.planes

    @property
    def size(self) -> int:
        """Elements that are written."""
        return self.items * self.places.steps * PANEL_TAP

    def reads(self) -> tuple[Part, ...]:
        """Return the gradient."""
        return (self.dy,)

    def writes(self) -> tuple[Part, ...]:
        """Return the pairs."""
        return (self.out,)

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of both."""
        yield from walked("dy", self.dy)
        yield Reach("pairs", self.out, 0, self.size - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield positions that are counted otherwise than they lie."""
        lie = self.dy.images if self.places.whole else (self.dy.height - 1) * self.dy.line + self.dy.width
        if self.places.count != lie or not (self.places.whole or self.places.line == self.dy.line):
            yield f"{self.name}: {self.places.count} positions are counted, of {self.dy.name!r} there are {lie}"


@dataclass(frozen=True, slots=True)
class TileGradient(Op):
    """dW[tap, channel][filter] = the sum over positions of x · dy; and of dy alone, for biases.

    In a chain it adds to what the blocks of images before left. Of groups, a panel of filters sees the planes that
    its own ones have channels in, and of a block the sums are kept whose channel and filter belong to one group.

    Arguments:
        x: as `TurnTiles` writes it.
        dy: as `PairTiles` writes it.
        places: the positions.
        channels: of x.
        filters: of dy.
        gradient: how dW lies.
        out: where it goes.
        sums: scratch for a block of tiles.
        biases: where the sums of dy go, whole vectors; None: they are not wanted.
        ones: scratch for a row of ones, which the sums of dy are products with.
        groups: of channels and filters; rows of dW are channels of one.
    """

    x: Operand
    dy: Operand
    places: Places
    channels: int
    filters: int
    gradient: Panels
    out: Operand
    sums: Operand
    biases: Operand | None = None
    ones: Operand | None = None
    groups: int = 1

    @property
    def inputs(self) -> int:
        """Channels of one group."""
        return self.channels // self.groups

    @property
    def outputs(self) -> int:
        """Filters of one group."""
        return self.filters // self.groups

    @property
    def planes(self) -> int:
        """Planes of channels."""
        return -(-self.channels // PLANE)

    @property
    def planes_seen(self) -> int:
        """Planes that a panel of filters sees."""
        return self.planes if self.groups == 1 else planes_seen(self.groups, self.inputs, self.outputs)

    @property
    def known_panels(self) -> int:
        """Panels of filters."""
        return -(-self.filters // PANEL)

    @property
    def panels(self) -> int:
        """Panels of what is written: columns that fill up the last panel of the gradient are zeros."""
        return -(-self.gradient.count * self.gradient.width // PANEL)

    @property
    def taps(self) -> int:
        """Taps of a filter."""
        return self.places.taps[0] * self.places.taps[1]

    @property
    def parts(self) -> int:
        """Parts of dW that are an item each: of one tap, what the block of a plane and panel gives; or, of groups, what
        all blocks of a panel give, since a vector of filters may hold values from several planes.
        """
        return self.panels * self.taps * (self.planes if self.groups == 1 else 1)

    @property
    def items(self) -> int:
        """A part each; and the biases of a panel."""
        return self.parts + (self.known_panels if self.biases is not None else 0)

    @property
    def multiply_adds(self) -> int:
        """Number of scalar multiply-adds that are needed; positions between rows are counted, where tiles have them."""
        return self.places.images * self.places.count * self.taps * self.inputs * self.filters

    def reads(self) -> tuple[Part, ...]:
        """Return what is multiplied."""
        return (self.x, self.dy)

    def writes(self) -> tuple[Part, ...]:
        """Return the gradients, the sums of a block, and the ones."""
        return present(self.out, self.biases, self.sums, self.ones)

    def scratch(self) -> dict[Name, int]:
        """Return the sizes of a block's sums and of a row of ones."""
        ones = {} if self.ones is None else {self.ones.memory: PLANE // 2}
        return {self.sums.memory: SUMS} | ones

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield all of each."""
        images, places = self.places.images, self.places
        yield Reach("x", self.x, 0, images * self.planes * places.apart * PLANE * places.length - 1)
        yield Reach("dy", self.dy, 0, images * self.known_panels * places.steps * PANEL_TAP - 1)
        yield Reach("gradient", self.out, 0, self.gradient.size - 1)
        yield Reach("sums", self.sums, 0, SUMS - 1)
        if self.biases is not None:
            yield Reach("biases", self.biases, 0, -(-self.filters // lanes) * lanes - 1)
        if self.ones is not None:
            yield Reach("ones", self.ones, 0, PLANE - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield a matrix of another size, and groups that are not equal."""
        yield from uneven_groups(self.name, self.groups, self.channels, self.filters)
        if (self.gradient.rows, self.gradient.columns) != (self.taps * self.inputs, self.filters):
            yield f"{self.name}: {self.gradient.rows} x {self.gradient.columns} weights are not those of the layer"
        if (self.biases is None) != (self.ones is None):
            yield f"{self.name}: biases are sums of products with ones"

    def details(self) -> Iterator[str]:
        """Yield the blocks and the sums."""
        what = "images" if self.places.whole else "positions"
        planes = f"{self.planes_seen} of {self.planes} planes, by {self.groups} groups," if self.groups > 1 else ""
        planes = planes or f"{self.planes} planes"
        yield f"bfloat16 tiles: {self.taps} taps x {planes} x {self.panels} panels of {PANEL}"
        yield f"sum over {self.places.images} x {self.places.count} {what}; {self.multiply_adds:,} multiply-adds"
