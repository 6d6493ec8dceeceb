"""Winograd's algorithm as work to be done: tiles of a convolution, forward and backward, as data."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.nn.window import Window
from neocog.plan.contraction import Contraction, Operand
from neocog.plan.layout import Panels, Tensor, Vectors

LINE_VALUES = 16  # one cache line more from position to position: powers of two would fall onto the same few lines


def position_step(matrix: Panels) -> int:
    """Return the elements from one position's matrix to the next one's."""
    return matrix.size + LINE_VALUES


@dataclass(frozen=True, slots=True)
class WinogradWeights:
    """Transform the filters of a layer: out[position][panel][input][filter] from weights [tap, input][filter]."""

    name: str
    tile: int
    weights: Panels
    inputs: int
    out: Panels  # one position's matrix; the others lie `position_step` apart

    @property
    def items(self) -> int:
        """One input channel each."""
        return self.inputs


@dataclass(frozen=True, slots=True)
class Slab:
    """Scratch for values of a block of tiles: [position][tile][channel].

    Arguments:
        place: where it begins.
        step, pitch: elements from position to position, and from tile to tile.
    """

    place: Operand
    step: int
    pitch: int


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a 3 × 3 convolution is cut into tiles of outputs, and where a block of tiles works.

    Arguments:
        side: of an output tile, pixels.
        x: input of the convolution.
        y: its output, or the gradient of that.
        first_row, first_column: where in x, halo included, the first patch begins, pixels from its first pixel.
        block: tiles that run together.
        patches: for Bᵀ d B of all channels of x.
        products: for products with filters, one panel of channels after another; backward, for A dy Aᵀ of all of them.
    """

    side: int
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
        return -(-self.y.height // self.side)

    @property
    def across(self) -> int:
        """Tiles from the left of an image to its right."""
        return -(-self.y.width // self.side)

    @property
    def tiles(self) -> int:
        """Tiles of all images."""
        return self.y.images * self.down * self.across

    @property
    def blocks(self) -> int:
        """Blocks of all tiles; the last may be short."""
        return -(-self.tiles // self.block)


@dataclass(frozen=True, slots=True)
class Winograd:
    """A 3 × 3 convolution by tiles: patches, products and outputs, block by block, in scratch memory.

    Arguments:
        tiling: the tiles; its y has the shape of what the convolution gives.
        contraction: the products of one block.
        bias: one value a channel.
        relu, gate: as in a Contraction.
        pooling: of windows that lie inside tiles: only the largest of each is kept.
        y: what is stored: the outputs, or the pooled ones.
        winner: of each window, in training; see Contraction.
    """

    name: str
    tiling: Tiling
    contraction: Contraction
    bias: Operand | None
    relu: bool
    gate: Tensor | None
    pooling: Window | None
    y: Tensor
    winner: Tensor | None

    @property
    def items(self) -> int:
        """One block each."""
        return self.tiling.blocks

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the products of all blocks."""
        return self.contraction.multiply_adds * self.tiling.blocks


@dataclass(frozen=True, slots=True)
class WinogradBackward:
    """Both gradients of a 3 × 3 convolution by tiles, from one transform of dy, for a few images of a chain.

    The algorithm is the forward one transposed. With D = A dy Aᵀ and V = Bᵀ x B of each tile, the gradient of the
    transformed filters is the sum of V D over tiles, added to that of the slice's images before; and that of the input
    is B (D Uᵀ) Bᵀ with the transformed filters U, added up where patches overlap.

    Arguments:
        tiling: the tiles; the halo of dy reaches to the end of whole ones.
        filters: the sum over the tiles of one block; None to leave this gradient out.
        sums: where the sums of dy go, for the bias.
        patches: the products with the transposed filters, one panel of input channels after another; None to leave the
            gradient of the input out.
        returned: for these.
        dx: where that goes. Its halo reaches to the end of whole patches, and is left with what falls there.
    """

    name: str
    tiling: Tiling
    filters: Contraction | None
    sums: Operand | None
    patches: Contraction | None
    returned: Slab
    dx: Tensor | None

    @property
    def items(self) -> int:
        """Everything at once: neighbouring tiles add to the same pixels."""
        return 1

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the products and sums of all blocks."""
        each = sum(c.multiply_adds for c in (self.filters, self.patches) if c is not None)
        return each * self.tiling.blocks


@dataclass(frozen=True, slots=True)
class WinogradFold:
    """The gradient of filters from partial gradients of transformed ones: Gᵀ (sum over slices) G, and the bias's.

    Arguments:
        copies: partial gradients of so many `slices`, `slice_step` elements apart.
        transformed: one position's matrix of a slice.
        sums: partial gradients of the bias, as far apart.
        gradient, bias: where the sums of all go.
    """

    name: str
    tile: int
    copies: Operand
    slices: int
    slice_step: int
    transformed: Panels
    sums: Operand | None
    gradient: Panels
    bias: Vectors | None
    inputs: int

    @property
    def items(self) -> int:
        """One input channel each."""
        return self.inputs
