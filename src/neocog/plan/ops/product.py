"""Convolutions and fully connected layers in bfloat16: products of tiles, summed in float32.

A block is two tiles of 16 rows below each other and two of 16 filters side by side; it goes through all taps and planes
of channels before it is stored. What rows are is a matter of addresses alone: positions of a plane one after another,
pixels of a row, or images.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from neocog.plan.blocked import BLOCK_ROWS, PANEL, PLANE, TILE_ROWS, TILE_WIDTH, Blocked
from neocog.plan.layout import Name, Operand, Tensor, operand
from neocog.plan.ops.epilogue import CLAMPED, Epilogue, labels, read_by, vectors_reached
from neocog.plan.ops.op import Op, Part, Reach, off_vectors, other_size, present, uneven_groups, walked
from neocog.plan.ops.pointwise import Affine, Round, tensors_of
from neocog.plan.ops.windows import SIDE, WindowBands
from neocog.plan.rounded import Factors, Rounded

TileFactors = Factors | Literal["bfloat16"]
"""What tiles hold. Sums of bfloat16 are float32, those of bytes have 32 bits."""

Walk = Literal["plane", "rows", "images"]
"""What the rows of tiles are: all positions of a plane, gaps between its rows included; the pixels of one row of the
output; or the images of the batch, of which each gives one pixel."""

PANEL_TAP = PLANE * PANEL  # elements of the weights of one panel, tap and plane
SUMS = BLOCK_ROWS * PANEL  # float32 sums of a block
BETWEEN = range(4, 10)  # taps of one plane whose products are few enough for what stores sums to take as long


def planes_seen(groups: int, inputs: int, outputs: int) -> int:
    """Return the planes of channels that panels of filters see, each those of its own groups: as many as the one that
    sees most.

    Arguments:
        groups: of channels and filters.
        inputs, outputs: channels and filters of one.
    """
    most = 0
    for first in range(0, groups * outputs, PANEL):
        last = min(first + PANEL, groups * outputs) - 1
        begin, end = first // outputs * inputs, (last // outputs + 1) * inputs
        most = max(most, (end - 1) // PLANE - begin // PLANE + 1)
    return most


@dataclass(frozen=True, slots=True)
class TileProduct(Op):
    """y = x correlated with weights + bias, then the epilogue.

    Arguments:
        x: the images.
        y: what comes out: bfloat16, or float32 in a tensor of its own layout.
        weights: as `PackTiles` writes them.
        sums: scratch for a block; for two, where one is stored between products of the next; for all of a band.
        walk: what rows are.
        first: from the first pixel of x to the first tap of the first output, elements.
        taps: rows and columns of taps.
        tap_steps: elements from tap to tap, down and across.
        steps: elements of x from an output to that below it, and to the next one.
        chunk: blocks, or bands of windows, that are an item.
        panels_first: whether neighbouring items share weights, rather than images.
        bias: one value a filter.
        epilogue: what happens to sums before they are stored.
        begin, apart: of the pixels of y that are computed: the first one, and how far to the next, down and across.
        clears: whether the zeros around images of y are written too: of several ops that share y, by one.
        groups: of channels and filters; a panel sees the planes of its own ones, with zeros for weights elsewhere.
        band: of a max pooling of 2 × 2 behind the epilogue, of which y is what it gives: rows of windows whose sums are
            there before the first window is stored. 0: there is no pooling.
        mask: where the place of the largest of each window goes, as of `Pool`.
    """

    takes_blocked: ClassVar[bool] = True

    x: Blocked | Rounded
    y: Tensor
    weights: Operand
    sums: Operand
    walk: Walk
    first: int
    taps: tuple[int, int]
    tap_steps: tuple[int, int]
    steps: tuple[int, int]
    chunk: int
    panels_first: bool
    bias: Operand | None
    epilogue: Epilogue
    begin: tuple[int, int] = (0, 0)
    apart: tuple[int, int] = (1, 1)
    clears: bool = True
    groups: int = 1
    band: int = 0
    mask: Tensor | None = None

    @property
    def height(self) -> int:
        """Rows of pixels that are computed."""
        if self.band:
            return SIDE * self.y.height
        return -(-(self.y.height - self.begin[0]) // self.apart[0])

    @property
    def width(self) -> int:
        """Pixels of a row that are computed."""
        if self.band:
            return SIDE * self.y.width
        return -(-(self.y.width - self.begin[1]) // self.apart[1])

    @property
    def pixels(self) -> int:
        """Pixels of an image that have weights of their own: all of them, where rows are images."""
        return self.height * self.width if self.walk == "images" else 1

    @property
    def images(self) -> int:
        """Images that are worked on one by one; 1 where they are the rows."""
        return 1 if self.walk == "images" else self.y.images

    @property
    def lines(self) -> int:
        """Stretches of rows in an image."""
        return self.height if self.walk == "rows" else 1

    @property
    def length(self) -> int:
        """Rows of a stretch."""
        if self.walk == "plane":
            return (self.height - 1) * self.x.line + self.width
        return self.width if self.walk == "rows" else self.y.images

    @property
    def row_step(self) -> int:
        """Elements of x from a row to the next one."""
        return self.x.image_step if self.walk == "images" else self.steps[1]

    @property
    def tiles_a_line(self) -> int:
        """Tiles of a stretch; the last may be short."""
        return -(-self.length // TILE_ROWS)

    @property
    def tiles(self) -> int:
        """Tiles of an image."""
        return self.lines * self.tiles_a_line

    @property
    def windows(self) -> WindowBands | None:
        """The bands of a pooling over positions of a plane. Where rows are pixels of a row, a block is one."""
        if not self.band or self.walk != "plane":
            return None
        return WindowBands(self.y.height, self.band, self.x.line, self.width)

    @property
    def blocks(self) -> int:
        """Blocks of an image, each of two tiles."""
        return self.windows.blocks if self.windows else -(-self.tiles // 2)

    @property
    def stores(self) -> int:
        """How often sums of an image are stored: block by block, or those of a band of windows at once."""
        return self.windows.count if self.windows else self.blocks

    @property
    def chunks(self) -> int:
        """Items of an image and panel."""
        return -(-self.stores // self.chunk)

    @property
    def panels(self) -> int:
        """Panels of filters."""
        return -(-self.y.channels // PANEL)

    @property
    def planes(self) -> int:
        """Planes of channels that a panel sees."""
        if self.groups == 1:
            return self.x.planes
        return planes_seen(self.groups, self.x.channels // self.groups, self.y.channels // self.groups)

    @property
    def panel_size(self) -> int:
        """Elements of a panel of weights, those of all pixels."""
        return self.planes * self.plane_taps * self.panel_tap

    @property
    def plane(self) -> int:
        """Channels of a row of a tile."""
        return TILE_WIDTH // self.x.bytes_each

    @property
    def panel_tap(self) -> int:
        """Elements of the weights of one panel, tap and plane."""
        return self.plane * PANEL

    @property
    def factors(self) -> TileFactors:
        """What tiles hold."""
        return self.x.factors if isinstance(self.x, Rounded) else "bfloat16"

    @property
    def plane_taps(self) -> int:
        """Taps of a plane and panel, those of all pixels."""
        return self.taps[0] * self.taps[1] * self.pixels

    @property
    def interleaves(self) -> bool:
        """Whether the sums of a block are stored between the products of the next one.

        A processor works on both at once then, which it does not where one follows the other: there are more
        instructions in each than it looks ahead. Of one plane of channels that is a fifth of the time, of four and more
        a twentieth, for twice the code.
        """
        short = self.planes == 1 and self.taps[0] * self.taps[1] in BETWEEN
        return short and not self.band and self.walk != "images" and self.epilogue in ((), CLAMPED)

    @property
    def picks_sums(self) -> bool:
        """Whether the largest of a window is found among its sums, before bias and epilogue, which keep their order.

        Not so where a mask says which one it was: what was rounded may have ties that the sums have not.
        """
        steps = self.epilogue
        if self.factors != "bfloat16" and steps and isinstance(steps[0], Affine) and steps[0].shift is None:
            steps = steps[1:]  # what a step of the sums is worth, which is above zero
        return self.mask is None and all(step in CLAMPED or isinstance(step, Round) for step in steps)

    @property
    def items(self) -> int:
        """One chunk of an image, and one panel of a pixel, each."""
        return self.images * self.chunks * self.panels * self.pixels

    @property
    def multiply_adds(self) -> int:
        """Number of scalar multiply-adds that are needed."""
        outputs = self.y.images * self.height * self.width
        return outputs * self.y.channels * (self.x.channels // self.groups) * self.taps[0] * self.taps[1]

    @property
    def end(self) -> int:
        """First element of x, from its first pixel, that tiles reach no more; rows that count for nothing included."""
        rows = (self.tiles_a_line * TILE_ROWS - 1) * self.row_step + (self.lines - 1) * self.steps[0]
        if self.windows:
            rows = (self.windows.end - 1) * self.row_step
        taps = sum((count - 1) * step for count, step in zip(self.taps, self.tap_steps, strict=True))
        within = (self.x.planes - 1) * self.x.plane_step + self.plane
        return self.first + (self.images - 1) * self.x.image_step + rows + taps + within

    def reads(self) -> tuple[Part, ...]:
        """Return images and weights, and what follows the products."""
        return present(self.x, self.weights, self.bias, *read_by(self.epilogue))

    def writes(self) -> tuple[Part, ...]:
        """Return the outputs, which of each window was the largest, and the scratch."""
        return present(self.y, self.mask, self.sums)

    def scratch(self) -> dict[Name, int]:
        """Return the size of a block's sums, and of those of the next one, or of all of a band."""
        return {self.sums.memory: self._held}

    @property
    def _held(self) -> int:
        if self.windows:
            return self.windows.held * SUMS
        return 2 * SUMS if self.interleaves else SUMS

    def reaches(self, lanes: int) -> Iterator[Reach]:
        """Yield how far tiles and what follows them reach."""
        if self.plane_taps:
            yield Reach("x", operand(self.x, self.x.origin), self.first, self.end - 1, aligned=False)
            yield Reach("weights", self.weights, 0, self.panels * self.panel_size - 1)
        yield Reach("sums", self.sums, 0, self._held - 1)
        yield from walked("y", self.y)
        yield from walked("mask", self.mask)
        for tensor in tensors_of(self.epilogue):
            yield from walked("epilogue", tensor)
        filters = -(-self.y.channels // lanes) * lanes
        yield from vectors_reached(self.epilogue, filters)
        if self.bias is not None:
            yield Reach("bias", self.bias, 0, filters - 1)

    def faults(self, lanes: int) -> Iterator[str]:
        """Yield pixels off whole vectors, rows that are no images, and windows that are cut."""
        yield from off_vectors(self.name, lanes, self.x, self.y, self.mask, *tensors_of(self.epilogue))
        if self.band:
            yield from self._faults_of_windows()
        if self.walk == "images" and self.pixels > 1 and self.taps != (1, 1):
            yield f"{self.name}: {self.y.height} x {self.y.width} pixels of one row want a tap each"
        yield from uneven_groups(self.name, self.groups, self.x.channels, self.y.channels)
        for tensor in tensors_of(self.epilogue):
            if not self.band:
                yield from other_size(self.name, tensor, self.y.height, self.y.width)

    def _faults_of_windows(self) -> Iterator[str]:
        """Yield what a pooling does not go with."""
        if self.walk == "images" or self.begin != (0, 0) or self.apart != (1, 1) or not self.clears:
            yield f"{self.name}: a pooling of pixels that do not lie side by side"
        if self.walk == "rows" and self.band != 1:
            yield f"{self.name}: {self.band} rows of windows at once, where a block of tiles holds one"
        for tensor in tensors_of(self.epilogue):
            if tensor.height < self.height or tensor.width < self.width:
                yield f"{self.name}: {tensor.name!r} has fewer pixels than the windows of {self.y.name!r}"
        if self.mask is not None:
            yield from other_size(self.name, self.mask, self.y.height, self.y.width)
            if self.epilogue not in ((), CLAMPED):
                yield f"{self.name}: a mask knows what a ReLU stops, and no other epilogue"

    def details(self) -> Iterator[str]:
        """Yield the blocks, the sums, and what is fused."""
        rows = {"plane": "positions of a plane", "rows": "pixels of a row", "images": "images"}[self.walk]
        yield f"{self.factors} tiles: {self.blocks} blocks of {BLOCK_ROWS} {rows} x {self.panels} panels of {PANEL}"
        taps = f"{self.taps[0]} x {self.taps[1]} taps"
        groups = f" of {self.x.planes}, by {self.groups} groups," if self.groups > 1 else ""
        yield f"sum over {self.planes} planes{groups} x {taps}; {self.multiply_adds:,} multiply-adds"
        pooling = ("max pooling",) if self.band else ()
        fused = [*(("bias",) if self.bias else ()), *labels(self.epilogue), *pooling]
        if fused:
            yield f"fused: {', '.join(fused)}"
        if self.windows:
            yield f"stored in {self.windows.count} bands of {self.band} rows of windows"
        if self.interleaves:
            yield "stored between the products of the next block"
