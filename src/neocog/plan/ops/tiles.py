"""A 3 × 3 convolution cut into Winograd's tiles, and the scratch memory that a block of them works in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.plan.layout import Operand, Panels, Tensor, operand
from neocog.plan.ops.op import Reach
from neocog.plan.winograd import WinogradTile

LINE_VALUES = 16  # one cache line more from position to position: powers of two would fall onto the same few lines


def position_step(matrix: Panels) -> int:
    """Return the elements from one position's matrix to the next one's."""
    return matrix.size + LINE_VALUES


@dataclass(frozen=True, slots=True)
class Slab:
    """Scratch for values of a block of tiles: [position][tile][channel].

    Arguments:
        place: where it begins.
        positions, tiles: extents.
        pitch: elements from tile to tile.
    """

    place: Operand
    positions: int
    tiles: int
    pitch: int

    @property
    def step(self) -> int:
        """Elements from position to position."""
        return self.tiles * self.pitch + LINE_VALUES

    @property
    def size(self) -> int:
        """Elements in all."""
        return self.positions * self.step

    def reach(self) -> Reach:
        """Return how far its values reach."""
        return Reach("slab", self.place, 0, self.size - LINE_VALUES - 1)


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a 3 × 3 convolution is cut into tiles of outputs, and where a block of tiles works.

    Arguments:
        tile: of which kind.
        x: input of the convolution.
        y: its output, or the gradient of that.
        first_row, first_column: where in x, halo included, the first patch begins, pixels from its first pixel.
        block: tiles that run together.
        patches: for Bᵀ d B of all channels of x.
        products: for products with filters, one panel of channels after another; backward, for A dy Aᵀ of all of them.
    """

    tile: WinogradTile
    x: Tensor
    y: Tensor
    first_row: int
    first_column: int
    block: int
    patches: Slab
    products: Slab

    @property
    def down(self) -> int:
        """Tiles from the top of an image to its bottom."""
        return -(-self.y.height // self.tile.outputs)

    @property
    def across(self) -> int:
        """Tiles from the left of an image to its right."""
        return -(-self.y.width // self.tile.outputs)

    @property
    def tiles(self) -> int:
        """Tiles of all images."""
        return self.y.images * self.down * self.across

    @property
    def blocks(self) -> int:
        """Blocks of all tiles; the last may be short."""
        return -(-self.tiles // self.block)

    def patches_of(self, x: Tensor, lanes: int) -> Reach:
        """Return what whole patches cover of a tensor that is laid out around the same image as x."""
        start = self._top(x) * x.row_step + self._left(x) * x.pitch
        down, across = (self._covered(tiles) - 1 for tiles in (self.down, self.across))
        last = (x.images - 1) * x.image_step + down * x.row_step + across * x.pitch
        return Reach("patches", operand(x, start), 0, last + vectors(x, lanes) - 1, aligned=False)

    def whole_tiles(self, lanes: int) -> Reach:
        """Return the first and last element of y that whole tiles cover."""
        y = self.y
        down, across = self.down * self.tile.outputs, self.across * self.tile.outputs
        last = (y.images - 1) * y.image_step + (down - 1) * y.row_step + (across - 1) * y.pitch
        return Reach("tiles", operand(y, y.origin), 0, last + vectors(y, lanes) - 1)

    def faults(self, *tensors: Tensor) -> Iterator[str]:
        """Yield the tensors, laid out around the same image as x, whose halo patches reach past."""
        for x in tensors:
            end = self._left(x) + self._covered(self.across)
            if self._top(x) < 0 or self._left(x) < 0 or end > x.halo.left + x.width + x.halo.right:
                yield f"patches reach past the halo of {x.name!r}"

    def _covered(self, tiles: int) -> int:
        """Return the pixels of the input, along one axis, that patches of so many tiles cover."""
        return (tiles - 1) * self.tile.step + self.tile.patch

    def _top(self, x: Tensor) -> int:
        return x.halo.top - self.x.halo.top + self.first_row

    def _left(self, x: Tensor) -> int:
        return x.halo.left - self.x.halo.left + self.first_column

    def __str__(self) -> str:
        side, stride = self.tile.outputs, self.tile.stride
        moves = "" if stride == 1 else f", stride {stride}"
        return f"Winograd F({side} x {side}, 3 x 3{moves}): {self.tiles:,} tiles in blocks of {self.block}"


def vectors(tensor: Tensor, lanes: int) -> int:
    """Return the channels of a pixel in whole vectors."""
    return -(-tensor.channels // lanes) * lanes
