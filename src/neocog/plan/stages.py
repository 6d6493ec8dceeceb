"""The kinds of work beside the contraction, as data. Each is cut into `items` that any thread may do."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.model.losses import Loss
from neocog.model.optimizers import Optimizer
from neocog.model.shapes import ImageShape
from neocog.model.window import Window
from neocog.plan.contraction import Contraction, Operand
from neocog.plan.layout import Panels, Tensor

CHUNK = 1024  # elements that one item of a flat pass covers


@dataclass(frozen=True, slots=True)
class LoadImages:
    """Bring the caller's images in: uint8 or float32, (value · scale + shift) per channel, into a padded tensor.

    `source` is the size that the caller's images have; `out` may hold fewer rows and columns.
    """

    name: str
    out: Tensor
    source: ImageShape
    scale: tuple[float, ...]
    shift: tuple[float, ...]

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.out.images * self.out.height


@dataclass(frozen=True, slots=True)
class Pool:
    """Max or average pooling. Training notes each window's winner: its place in the window, row by row."""

    name: str
    x: Tensor
    y: Tensor
    window: Window
    largest: bool
    winner: Tensor | None

    @property
    def items(self) -> int:
        """One row of one output image each."""
        return self.y.images * self.y.height


@dataclass(frozen=True, slots=True)
class PoolBackward:
    """Send each window's gradient to its winner, or share it equally; overlapping windows add up."""

    name: str
    dy: Tensor
    dx: Tensor
    window: Window
    winner: Tensor | None
    gate: Tensor | None

    @property
    def overlapping(self) -> bool:
        """Whether a pixel may lie in several windows."""
        v, h = self.window.vertical, self.window.horizontal
        return v.stride < v.kernel or h.stride < h.kernel

    @property
    def items(self) -> int:
        """One row of windows each; a whole image where windows overlap, so that no two items meet."""
        return self.dy.images * (1 if self.overlapping else self.dy.height)


@dataclass(frozen=True, slots=True)
class Dropping:
    """How a Dropout drops: `key_slot` is where the program's arguments hold the step's key.

    `height` and `width` are those of the whole image: the bits of a value depend on its place there.
    """

    key_slot: int
    rate: float
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Elementwise:
    """y = f(x), value by value: ReLU, a Dropout, and the gate of a ReLU's backward pass, in this order."""

    name: str
    x: Tensor
    y: Tensor
    relu: bool = False
    dropping: Dropping | None = None
    gate: Tensor | None = None

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.y.images * self.y.height


@dataclass(frozen=True, slots=True)
class Repack:
    """Copy images between memory layouts: Flatten where channels do not fill whole vectors, and its way back."""

    name: str
    x: Tensor
    y: Tensor
    gate: Tensor | None = None

    @property
    def items(self) -> int:
        """One row of one image each."""
        return self.y.images * self.y.height


@dataclass(frozen=True, slots=True)
class LossGradient:
    """The loss of each image, and the gradient of their mean with respect to the logits; rows past the batch get 0."""

    name: str
    loss: Loss
    logits: Tensor
    gradient: Tensor
    losses: Tensor
    gate: Tensor | None

    @property
    def items(self) -> int:
        """One image each."""
        return self.logits.images


@dataclass(frozen=True, slots=True)
class Transpose:
    """Write a layer's weights with inputs and outputs swapped, tap by tap, for the gradient of its input."""

    name: str
    weights: Panels
    transposed: Panels
    taps: int
    inputs: int

    @property
    def items(self) -> int:
        """One panel of one tap each."""
        return self.taps * self.transposed.count


@dataclass(frozen=True, slots=True)
class Fold:
    """Add up partial gradients in a fixed order: out = sum over copies, `step` elements apart."""

    name: str
    copies: Operand
    count: int
    step: int
    out: Operand
    size: int

    @property
    def items(self) -> int:
        """A chunk of the gradient each."""
        return -(-self.size // CHUNK)


@dataclass(frozen=True, slots=True)
class Update:
    """One step of the optimizer over all parameters at once."""

    name: str
    optimizer: Optimizer
    size: int
    parameters: Operand
    gradients: Operand
    memory: tuple[Operand, ...]

    @property
    def items(self) -> int:
        """A chunk of the parameters each."""
        return -(-self.size // CHUNK)


@dataclass(frozen=True, slots=True)
class WinogradWeights:
    """Transform the filters of a layer: out[position][panel][input][filter] from weights [tap, input][filter].

    `turned` reads the taps from the last to the first, as the gradient of the input needs them.
    """

    name: str
    tile: int
    weights: Panels
    inputs: int
    turned: bool
    out: Panels  # one position's matrix; positions lie behind one another

    @property
    def items(self) -> int:
        """One input channel each."""
        return self.inputs


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a 3 × 3 convolution is cut into tiles of outputs, and where a block of tiles works.

    Arguments:
        side: of an output tile, pixels.
        x: input of the convolution.
        y: its output, or the gradient of that.
        first_row, first_column: where in x, halo included, the first patch begins, pixels from its first pixel.
        block: tiles that run together.
        patches, patch_step: scratch for Bᵀ d B, (position, tile, channel of x), and elements from position to position.
        products, product_step: likewise for the channels of y.
    """

    side: int
    x: Tensor
    y: Tensor
    first_row: int
    first_column: int
    block: int
    patches: Operand
    patch_step: int
    products: Operand
    product_step: int

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
    """A 3 × 3 convolution by tiles: patches, products and outputs, block by block, in scratch memory that stays in the
    second-level cache.

    Arguments:
        tiling: the tiles.
        contraction: the products of one block.
        bias: row of biases in panels of `bias_width` columns, `bias_step` elements apart.
        relu, gate: as in a Contraction.
    """

    name: str
    tiling: Tiling
    contraction: Contraction
    bias: Operand | None
    bias_width: int
    bias_step: int
    relu: bool
    gate: Tensor | None

    @property
    def items(self) -> int:
        """One block each."""
        return self.tiling.blocks

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the products of all blocks."""
        return self.contraction.multiply_adds * self.tiling.blocks


@dataclass(frozen=True, slots=True)
class WinogradGradient:
    """Partial gradients of transformed filters: for each slice of the tiles, sum over tiles of patch · dy, where dy
    went through A dy Aᵀ; and the sum of dy, for the bias.

    Arguments:
        tiling: the tiles; the halo of dy reaches to the end of whole ones.
        contraction: the sum over the tiles of one block, added to the slice's.
        slices, slice_step: how many partial gradients, and how far they lie apart.
        sums: where the first slice's sums of dy lie; None without a bias.
    """

    name: str
    tiling: Tiling
    contraction: Contraction
    slices: int
    slice_step: int
    sums: Operand | None

    @property
    def items(self) -> int:
        """One slice each."""
        return self.slices

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of the sums over all blocks."""
        return self.contraction.multiply_adds * self.tiling.blocks


@dataclass(frozen=True, slots=True)
class WinogradFold:
    """The gradient of filters from partial gradients of transformed ones: Gᵀ (sum over slices) G, and the bias's."""

    name: str
    tile: int
    copies: Operand
    slices: int
    slice_step: int
    transformed: Panels  # one position's matrix of a slice
    sums: Operand | None
    gradient: Panels
    inputs: int

    @property
    def items(self) -> int:
        """One input channel each."""
        return self.inputs


Stage = (
    Contraction
    | Winograd
    | WinogradWeights
    | WinogradGradient
    | WinogradFold
    | LoadImages
    | Pool
    | PoolBackward
    | Elementwise
    | Repack
    | LossGradient
    | Transpose
    | Fold
    | Update
)
