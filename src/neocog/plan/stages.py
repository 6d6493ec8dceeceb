"""The kinds of work beside the contraction, as data. Each is cut into `items` that any thread may do."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.nn.losses import Loss
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window
from neocog.plan.contraction import Contraction, Operand
from neocog.plan.layout import Panels, Tensor
from neocog.plan.parameters import Segment
from neocog.plan.tiles import Winograd, WinogradBackward, WinogradFold, WinogradWeights

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
    """Max or average pooling. Training notes each window's winner: its place in the window, row by row.

    `gated` says that x comes out of a ReLU: then nobody wins where nothing is above zero.
    """

    name: str
    x: Tensor
    y: Tensor
    window: Window
    largest: bool
    winner: Tensor | None
    gated: bool = False

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
class Part:
    """So many elements, one behind another, that belong to a place of their own."""

    out: Operand
    size: int


@dataclass(frozen=True, slots=True)
class Fold:
    """Add up partial gradients in a fixed order: the parts = sum over copies, one copy behind another.

    Arguments:
        copies: where the first one begins.
        count: how many there are.
        parts: what a copy consists of, and where the sums go: a matrix of weights and perhaps biases.
    """

    name: str
    copies: Operand
    count: int
    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """Elements of a copy."""
        return sum(part.size for part in self.parts)

    @property
    def items(self) -> int:
        """A chunk of the gradient each."""
        return -(-self.size // CHUNK)


@dataclass(frozen=True, slots=True)
class Update:
    """One step of the optimizer over all parameters at once, each segment of them by its rule."""

    name: str
    segments: tuple[Segment, ...]
    size: int
    parameters: Operand
    gradients: Operand
    memory: tuple[Operand, ...]
    scalars: int  # how many numbers of the step its rules need

    @property
    def items(self) -> int:
        """A chunk of the parameters each."""
        return -(-self.size // CHUNK)


@dataclass(frozen=True, slots=True)
class Chain:
    """Stages that run one after another for a few images at a time, so that what they hand on stays in a cache.

    Each is planned for `block` images. What lies in the work memory of the whole batch moves along with them.

    Arguments:
        block: images at a time.
        blocks: of the batch.
        slices: runs of nearly as many blocks each, whose partial gradients are kept apart. They depend on shapes only,
            so that a result does not depend on the number of threads.
    """

    name: str
    stages: tuple[Stage, ...]
    block: int
    blocks: int
    slices: int

    @property
    def items(self) -> int:
        """One slice each."""
        return self.slices

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all stages over the whole batch."""
        return self.blocks * sum(getattr(stage, "multiply_adds", 0) for stage in self.stages)


Stage = (
    Contraction
    | Winograd
    | WinogradWeights
    | WinogradBackward
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
    | Chain
)
