"""A program while it is being planned: what flows between steps, what was placed, and which steps run together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise

from neocog.nn.graph import Graph
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, MaxPool2d
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window
from neocog.plan.algorithm import LEAST_GRADIENT_TILES, Algorithm, choose_tile, tiles_an_image
from neocog.plan.correlation import Correlation
from neocog.plan.fuse import Step, is_correlation, is_flatten
from neocog.plan.layout import Halo, Panels, Space, Tensor
from neocog.plan.live import POINT, LiveStep, as_image
from neocog.plan.ops.elementwise import Dropping
from neocog.plan.ops.op import Op
from neocog.plan.parameters import ParameterLayout
from neocog.plan.program import FIRST_KEY_SLOT, Training
from neocog.plan.target import Target
from neocog.plan.winograd import minimal

NO_HALO = Halo()
LEAST_TILES = 8  # of all images, where transformed filters do not fit the second-level cache
CHAIN_TILES = 24  # a chain takes as many images at a time as give its Winograd layers about so many tiles
CHAIN_PIXELS = 192  # and its other convolutions about so many pixels


@dataclass(slots=True)
class Value:
    """What flows between two steps: an activation and, in training, its gradient."""

    tensor: Tensor
    relu: bool = False  # made by a step that ends in a ReLU: its gradient is gated by it
    gradient: Tensor | None = None

    @property
    def gate(self) -> Tensor | None:
        """The activation that decides where a gradient passes."""
        return self.tensor if self.relu else None


@dataclass(slots=True)
class Draft:
    """What is known of a program so far.

    `block` is the number of images of the chain that is being planned; None while stages take the whole batch.
    """

    graph: Graph
    target: Target
    batch: int
    training: Training | None
    layout: ParameterLayout
    steps: tuple[Step, ...]
    live: tuple[LiveStep, ...]
    algorithm: Algorithm
    stages: list[Op] = field(default_factory=list)
    preparation: list[Op] = field(default_factory=list)
    panels: list[Panels] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    flat: dict[tuple[Space, str], int] = field(default_factory=dict)
    values: list[Value] = field(default_factory=list)
    layers: dict[int, Correlation] = field(default_factory=dict)
    winners: dict[int, Tensor] = field(default_factory=dict)
    dropouts: list[int] = field(default_factory=list)
    block: int | None = None
    peaks: dict[int, Tensor] | None = None  # of each convolution so far; None in a program that finds no peaks

    # --- memory -----------------------------------------------------------------------------------------------

    def shape(self, name: str, shape: ImageShape, halo: Halo = NO_HALO, pitch: int | None = None) -> Tensor:
        """Say how a tensor would lie that nobody keeps."""
        return Tensor(
            name,
            self.batch,
            shape.height,
            shape.width,
            shape.channels,
            pitch or self.target.round_up(shape.channels),
            halo,
        )

    def tensor(
        self,
        name: str,
        shape: ImageShape,
        halo: Halo = NO_HALO,
        pitch: int | None = None,
        *,
        bytes_each: int = 4,
        passing: bool = False,
    ) -> Tensor:
        """Make a tensor. One that is only passed on within a chain lies in the scratch memory of one thread."""
        made = replace(self.shape(name, shape, halo, pitch), bytes_each=bytes_each)
        if passing and self.block:
            made = replace(made, images=self.block, space=Space.SCRATCH)
        self.tensors.append(made)
        return made

    def cut(self, tensor: Tensor) -> Tensor:
        """Return what a stage sees of a tensor: in a chain, the images of one block."""
        return replace(tensor, images=self.block) if self.block else tensor

    def cut_layer(self, index: int) -> Correlation:
        """Return a layer as a stage sees it."""
        layer = self.layers[index]
        return replace(layer, x=self.cut(layer.x), y=self.cut(layer.y))

    # --- steps ------------------------------------------------------------------------------------------------

    def window_of(self, index: int) -> Window:
        """Return a step's window; a fully connected layer has one of 1 × 1 on an image of 1 × 1."""
        return self.live[index].window or Window(POINT, POINT)

    def tile_of(self, index: int) -> int | None:
        """Choose Winograd's tile for a step's convolution; None for the direct sum."""
        live = self.live[index]
        if not isinstance(self.steps[index].node.layer, Conv2d):
            return None
        if index == 0 and live.input.channels % self.target.lanes:
            return None  # images lie value by value, and patches are read in whole vectors
        window, channels, filters = self.window_of(index), live.input.channels, live.output.channels
        tile = choose_tile(window, channels, filters, self.algorithm, self.target)
        if tile is None or self.algorithm == "winograd":
            return tile
        # Transformed filters are several times as large: for a few tiles, fetching them takes longer than it saves.
        far = 4 * minimal(tile).positions * channels * filters > self.target.level2
        few = self.batch * tiles_an_image(tile, window) < LEAST_TILES
        return None if far and few else tile

    def backward_tile(self, index: int) -> int | None:
        """Choose Winograd's tile for a step's gradients; None for the direct sums."""
        tile = self.tile_of(index)
        if tile is None or self.batch * tiles_an_image(tile, self.window_of(index)) < LEAST_GRADIENT_TILES:
            return None
        return tile

    def reads_scalars(self, index: int) -> bool:
        """Whether the step takes its input value by value, so that channels need no padding to whole vectors."""
        if index < len(self.steps) and is_flatten(self.steps[index]):
            index += 1
        return index < len(self.steps) and is_correlation(self.steps[index])

    def needs_gradient(self, value: int) -> bool:
        """Whether some step before this value has weights."""
        return self.training is not None and any(map(is_correlation, self.steps[:value]))

    def dropping(self, step: Step) -> Dropping:
        """Return a Dropout with its key."""
        assert isinstance(step.node.layer, Dropout)
        if step.node.index not in self.dropouts:
            self.dropouts.append(step.node.index)
        whole = as_image(step.node.output)
        slot = FIRST_KEY_SLOT + self.dropouts.index(step.node.index)
        return Dropping(slot, step.node.layer.rate, whole.height, whole.width)

    def step_of(self, node: int) -> int:
        """Find the step that gives what a layer gives, though it may have been fused or left out; -1: the images."""
        return max((i for i, step in enumerate(self.steps) if step.last.index <= node), default=-1)

    # --- runs -------------------------------------------------------------------------------------------------

    def runs(self, *, backward: bool = False) -> list[range]:
        """Cut the steps into runs: those on images go together, every other one alone.

        Backward, a run ends at each pooling: what flows there is smallest, and the partial gradients of fewer layers
        are wanted at a time.
        """
        starts = [0]
        for index in range(1, len(self.steps)):
            before, here = self.steps[index - 1], self.steps[index]
            pooled = backward and isinstance(before.node.layer, MaxPool2d | AvgPool2d)
            if pooled or not (on_images(before) and on_images(here)):
                starts.append(index)
        return [range(*ends) for ends in pairwise([*starts, len(self.steps)])] if self.steps else []

    def images_at_a_time(self, run: range, *, backward: bool) -> int:
        """Choose how many images of a chain run together: few, so that they stay near; enough to fill its kernels."""
        wanted = 1
        for index in run:
            if isinstance(self.steps[index].node.layer, Conv2d):
                tile = self.backward_tile(index) if backward else self.tile_of(index)
                window = self.window_of(index)
                pixels = window.vertical.output * window.horizontal.output
                one = tiles_an_image(tile, window) if tile else pixels
                wanted = max(wanted, -(-(CHAIN_TILES if tile else CHAIN_PIXELS) // one))
        return min(
            size for size in range(1, self.batch + 1) if self.batch % size == 0 and size >= min(wanted, self.batch)
        )


def on_images(step: Step) -> bool:
    """Whether a step takes and gives images."""
    return isinstance(step.node.input, ImageShape) and isinstance(step.node.output, ImageShape)
