"""How each step is computed: decisions that follow from shapes, before anything is written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from neocog.nn.graph import IMAGE, Graph
from neocog.nn.layer import Layer
from neocog.nn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    ChannelShuffle,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Linear,
    MaxPool2d,
    Multiply,
    Slice,
)
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window
from neocog.plan import correlation, half_gradient, product
from neocog.plan.algorithm import LEAST_GRADIENT_TILES, Algorithm, choose_tile, patch_halo, tile_halo, tiles_an_image
from neocog.plan.blocked import PLANE, Blocked, Precision, blocked
from neocog.plan.layout import Halo
from neocog.plan.passes.steps import PlanStep, PlanSteps
from neocog.plan.passes.trim import POINT, Extent, image_extent
from neocog.plan.program import Training
from neocog.plan.rounded import Rounded, Rounding, pitch_of, reads_across
from neocog.plan.winograd import WinogradTile
from neocog.target.processor import Target

NO_HALO = Halo()
LEAST_TILES = 8  # of all images, where transformed filters do not fit the second-level cache
CHAIN_TILES = 24  # a chain takes as many images at a time as give its Winograd layers about so many tiles
CHAIN_PIXELS = 192  # and its other convolutions about so many pixels
JOINS = (ChannelShuffle, Concatenate, Slice)  # what brings channels into another order
LEAST_BLOCKS = 4  # of images; with fewer, threads share out stages over the whole batch


@dataclass(slots=True)
class Choices:
    """What is to be written down, and for what.

    Arguments:
        target: the processor.
        batch: the most images at a time.
        training: what to train for; None for a program that only answers.
        steps, extents: of the network.
        algorithm: of convolutions; see `choose_tile`.
        graph: the network.
        by_value: the layers that give a formula of what they take: bfloat16 where that is what it becomes.
        precision: of products and of what is kept between them.
        roundings: for each step whose output is rounded to 8 bits, and -1 for the image, how.
        sought: the step whose output's gradient is all that is wanted, with parameters that stay as they are; None: no
            such.
        learning: the steps with parameters that follow gradients in front of them, or of their own; or the sought step
            and those behind it.
    """

    target: Target
    batch: int
    training: Training | None
    steps: PlanSteps
    extents: tuple[Extent, ...]
    algorithm: Algorithm
    graph: Graph = field(kw_only=True)
    by_value: frozenset[type[Layer]] = field(kw_only=True)
    precision: Precision = field(default="float32", kw_only=True)
    roundings: Mapping[int, Rounding] = field(default_factory=dict, kw_only=True)
    sought: int | None = field(default=None, kw_only=True)
    learning: set[int] = field(default_factory=set, kw_only=True)
    _wanted: dict[int, bool] = field(default_factory=dict, kw_only=True)
    _wanted_gradients: dict[int, bool] = field(default_factory=dict, kw_only=True)

    @property
    def prepares(self) -> bool:
        """Whether what follows from parameters is computed once, and not in each run: they stay as they are."""
        return self.training is None or self.sought is not None

    @property
    def images_shape(self) -> ImageShape:
        """What is read of the images that the network starts from."""
        return image_extent(self.steps, self.extents, self.graph.input)

    def output_shape(self, index: int) -> ImageShape:
        """Return the shape of what a step gives, as far as it is read."""
        return self.extents[index].output

    def window_of(self, step: PlanStep) -> Window:
        """Return a step's window; a fully connected layer has one of 1 × 1 on an image of 1 × 1."""
        return self.extents[step.index].window or Window(POINT, POINT)

    def tile_of(self, step: PlanStep) -> WinogradTile | None:
        """Choose Winograd's tile for a step's convolution; None for the direct sum."""
        if (
            not isinstance(step.node.layer, Conv2d)
            or step.groups > 1
            or (self.precision != "float32" and (self.is_half(step) or self.is_int8(step)))
        ):
            return None
        extent, window = self.extents[step.index], self.window_of(step)
        channels, filters = extent.input.channels, extent.output.channels
        if step.inputs[0] == IMAGE and channels % self.target.lanes:
            return None  # images lie value by value, and patches are read in whole vectors
        tile = choose_tile(window, channels, filters, self.algorithm, self.target)
        if tile is None or self.algorithm == "winograd":
            return tile
        if tile.stride > 1 and self.training is not None:
            return None  # what is saved, the transforms of a step take: neither faster nor slower, but less exact
        # Transformed filters are several times as large: for a few tiles, fetching them takes longer than it saves.
        far = 4 * tile.positions * channels * filters > self.target.level2
        least = LEAST_TILES if self.training is None else LEAST_GRADIENT_TILES  # training transforms anew in each step
        few = self.batch * tiles_an_image(tile, window) < least
        return None if far and few else tile

    def backward_tile(self, step: PlanStep) -> WinogradTile | None:
        """Choose Winograd's tile for a step's gradients; None for the direct sums."""
        tile = self.tile_of(step)
        if tile is None or self.batch * tiles_an_image(tile, self.window_of(step)) < LEAST_GRADIENT_TILES:
            return None
        return tile

    def images_for(self, step: PlanStep, *, backward: bool) -> int:
        """Choose how many images fill the kernels of a convolution; a depthwise one goes through one after another."""
        if step.is_depthwise:
            return 1
        window = self.window_of(step)
        if self.is_half(step):
            return product.images_for(window)
        tile = self.backward_tile(step) if backward else self.tile_of(step)
        pixels = window.vertical.output * window.horizontal.output
        return -(-CHAIN_TILES // tiles_an_image(tile, window)) if tile else -(-CHAIN_PIXELS // pixels)

    def chains(self, step: PlanStep, *, backward: bool) -> bool:
        """Whether a step with weights takes a few images at a time.

        Not so on maps so small that too few blocks of images would fill its kernels: then threads share its weights
        out, each over the whole batch. Winograd's gradients are made for chains.
        """
        if not step.takes_images:
            return False
        few = self.images_for(step, backward=backward) * LEAST_BLOCKS > self.batch
        return not few or (backward and self.backward_tile(step) is not None)

    def halo_of(self, index: int) -> Halo:
        """Return the zeros that the steps that take a value need around it."""
        halo = NO_HALO
        for step in self.steps.users(index):
            if self.is_int8(step):
                continue
            if self.takes_planes(step):
                if index == IMAGE:
                    halo = halo.union(self._around_rows(step))
                continue
            if isinstance(step.node.layer, Conv2d) and index in step.inputs:
                window, tile = self.window_of(step), self.tile_of(step)
                halo = halo.union(correlation.input_halo(window))
                if tile:
                    halo = halo.union(patch_halo(tile, window))
            if isinstance(step.node.layer, ConvTranspose2d) and index in step.inputs:
                halo = halo.union(correlation.gradient_halo(self.window_of(step)))
        return halo

    # --- in 8-bit integers ----------------------------------------------------------------------------------------

    def is_int8(self, step: PlanStep) -> bool:
        """Whether a step multiplies 8-bit integers."""
        return self.precision == "int8" and isinstance(step.node.layer, Conv2d | Linear)

    def wants_narrow(self, index: int) -> bool:
        """Whether what a step gives is kept as bfloat16 or as 8-bit integers."""
        return index in self.roundings or self.wants_half(index)

    def rounded_of(self, index: int) -> Rounded:
        """Return how what a step gives, or the image, lies as 8-bit integers, with the zeros that its readers need."""
        halo, windows = NO_HALO, []
        for step in self.steps.users(index):
            if isinstance(step.node.layer, Conv2d) and index in step.inputs:
                halo = halo.union(correlation.input_halo(self.window_of(step)))
                windows.append(self.window_of(step))
        shape = self.images_shape if index == IMAGE else self.output_shape(index)
        title = "images" if index == IMAGE else f"{self.steps.steps[index].title} in int8"
        pitch = pitch_of(shape.channels, self.target)
        if index == IMAGE and reads_across(self.graph):
            pitch = shape.channels
        signed = self.roundings[index].signed
        made = Rounded(title, self.batch, shape.height, shape.width, shape.channels, pitch, halo, signed=signed)
        if index == IMAGE or not self.target.byte_tiles:
            return made
        return replace(made, spare=max(made.spare, self._spare(made, [*windows, product.whole(shape)])))

    # --- in bfloat16 ------------------------------------------------------------------------------------------

    def is_half(self, step: PlanStep) -> bool:
        """Whether a step multiplies in bfloat16: convolutions of whole images, and fully connected layers.

        Of the images that a network starts from, which lie value by value, one takes what its window sees in a row as
        one pixel, if that is little enough.

        Groups of a few channels multiply zeros, those of the plane that are not theirs: with 4 channels, 7 of 8
        products. float32 does so too, in blocks of whole vectors, and there vectors of 16 lanes are half a plane; so
        zeros cost a factor of 2 more at most, and tiles multiply 16 times as fast.
        """
        layer = step.node.layer
        if self.precision != "bfloat16" or not isinstance(layer, Conv2d | Linear) or step.is_depthwise:
            return False
        if step.groups > 1 and step.inputs[0] == IMAGE:
            return False
        if isinstance(layer, Linear):
            return self.source_of(step.inputs[0]) != IMAGE
        window = self.window_of(step)
        if window.vertical.output == window.horizontal.output == 1:
            return False  # a single row of a tile
        if step.inputs[0] != IMAGE:
            return True
        axis = window.horizontal
        seen = axis.kernel * self.extents[step.index].input.channels
        return axis.dilation == 1 and seen <= PLANE and self.reads_scalars(IMAGE)

    def takes_planes(self, step: PlanStep) -> bool:
        """Whether a convolution or fully connected layer takes bfloat16: to multiply it, or, a depthwise one, to turn
        it into float32 on the way.
        """
        if self.is_half(step):
            return True
        return self.precision == "bfloat16" and step.is_depthwise and self.source_of(step.inputs[0]) != IMAGE

    def source_of(self, index: int) -> int:
        """Return the step whose output a value is, Flatten aside."""
        while index != IMAGE and self.steps.steps[index].is_flatten:
            index = self.steps.steps[index].inputs[0]
        return index

    def pools_half(self, step: PlanStep) -> bool:
        """Whether a pooling takes and gives bfloat16, or 8-bit integers, whose largest it takes."""
        if self.precision == "int8":
            return isinstance(step.node.layer, MaxPool2d) and self.wants_narrow(step.index)
        even = isinstance(step.node.layer, AdaptiveAvgPool2d) and self._cuts_evenly(step)
        if self.precision == "float32" or not (even or isinstance(step.node.layer, MaxPool2d | AvgPool2d)):
            return False
        return step.inputs[0] != IMAGE and self.wants_half(step.index)

    def _cuts_evenly(self, step: PlanStep) -> bool:
        """Whether a pooling's windows, several of them, are equal."""
        shape = self.output_shape(step.index)
        return self.extents[step.index].window is not None and shape.height * shape.width > 1

    def wants_half_gradient(self, index: int) -> bool:
        """Whether the gradient of what a step gives is taken as bfloat16: by products of tiles, itself or behind what
        works value by value, or a pooling.
        """
        if self.precision != "bfloat16" or index == IMAGE:
            return False
        if index not in self._wanted_gradients:
            self._wanted_gradients[index] = self._takes_half_gradient(self.steps.steps[index])
        return self._wanted_gradients[index]

    def _takes_half_gradient(self, step: PlanStep) -> bool:
        if self.takes_planes(step):
            return True
        passes = type(step.node.layer) in self.by_value or step.is_flatten or self._joins_planes(step)
        passes = passes or self.pools_half(step)
        return passes and any(self.wants_half_gradient(value) for value in step.inputs if value in self.learning)

    def wants_half(self, index: int) -> bool:
        """Whether what a step gives is bfloat16: another one takes it as such, itself or behind what works value by
        value; or it puts channels side by side, of which some are taken as such anyway.
        """
        if self.precision != "bfloat16" or self.source_of(index) == IMAGE:
            return False
        if index not in self._wanted:
            step = self.steps.steps[index]
            may = not isinstance(step.node.layer, JOINS) or self._joins_planes(step)
            taken = any(self._takes_half(index, user) for user in self.steps.users(index))
            self._wanted[index] = may and (taken or self._joins_factors(step))
        return self._wanted[index]

    def _takes_half(self, index: int, step: PlanStep) -> bool:
        if self.takes_planes(step):
            return index in step.inputs or step.gives_images
        if isinstance(step.node.layer, Multiply) and self._is_pixel(index, step):
            return False  # it is spread over all pixels
        if type(step.node.layer) in self.by_value or isinstance(step.node.layer, JOINS) or step.is_flatten:
            return self.wants_half(step.index)
        return self.pools_half(step)

    def _joins_planes(self, step: PlanStep) -> bool:
        """Whether a layer that brings channels into another order may take planes: not those of vectors, nor of images
        that lie value by value.
        """
        joins = isinstance(step.node.layer, JOINS) and step.on_images
        return joins and all(self.source_of(value) != IMAGE for value in step.inputs)

    def _joins_factors(self, step: PlanStep) -> bool:
        """Whether a step puts channels side by side of which products of tiles take some."""
        return isinstance(step.node.layer, Concatenate) and any(map(self._is_factor, step.inputs))

    def _is_factor(self, index: int) -> bool:
        """Whether products of tiles take what a step gives, themselves or behind what works value by value."""
        users = self.steps.users(index)
        return any(map(self.takes_planes, users)) or any(
            self._is_factor(user.index) for user in users if type(user.node.layer) in self.by_value
        )

    def _is_pixel(self, index: int, step: PlanStep) -> bool:
        return all(step.node.is_pixel(place) for place, value in enumerate(step.inputs) if value == index)

    def blocked_of(self, index: int) -> Blocked:
        """Return how a step's output lies as bfloat16, with the zeros and the room behind it that its readers need."""
        halo = NO_HALO
        windows = []
        for step in self.steps.users(index):
            if not self.takes_planes(step) or not isinstance(step.node.layer, Conv2d) or index not in step.inputs:
                continue
            halo = halo.union(correlation.input_halo(self.window_of(step)))
            windows += [self.window_of(step)] if self.is_half(step) else []
        shape = self.output_shape(index)
        windows += [product.whole(shape)] if self._is_flattened(index) else []
        title = f"{self.steps.steps[index].title} in bfloat16"
        made = blocked(title, self.batch, shape, halo)
        return blocked(title, self.batch, shape, halo, self._spare(made, windows))

    def blocked_gradient_of(self, index: int) -> Blocked:
        """Return how the gradient of a step's output lies as bfloat16, as the step's own backward pass needs it."""
        step, shape = self.steps.steps[index], self.output_shape(index)
        title = f"gradient of {step.title} in bfloat16"
        made = blocked(title, self.batch, shape, NO_HALO)
        if not self.takes_planes(step):
            return made
        if step.is_depthwise:
            needed = step.inputs[0] in self.learning
            return replace(made, halo=correlation.gradient_halo(self.window_of(step))) if needed else made
        if isinstance(step.node.layer, Linear):
            return replace(made, spare=half_gradient.spare_behind_images(made))
        needed = step.inputs[0] in self.learning
        if step.inputs[0] == IMAGE:
            window, x = product.stacked(self.window_of(step)), self.stacked_of(step)
        else:
            window, x = self.window_of(step), self.blocked_of(step.inputs[0])
        made = replace(made, halo=half_gradient.gradient_halo(window, x, needed=needed))
        if not needed:
            return made
        channels = self.extents[index].input.channels
        return replace(made, spare=half_gradient.spare_behind_gradient(window, made, channels))

    def _is_flattened(self, index: int) -> bool:
        """Whether a fully connected layer in bfloat16 takes a value, behind a Flatten or not."""
        users = self.steps.users(index)
        return any(self._is_flattened(user.index) if user.is_flatten else self.is_half(user) for user in users)

    def _spare(self, x: Blocked | Rounded, windows: Iterable[Window]) -> int:
        walks = ((window, product.walk_of(window, self.batch)) for window in windows)
        return max((product.spare_behind(window, x, walk) for window, walk in walks), default=0)

    def stacked_of(self, step: PlanStep) -> Blocked:
        """Return how the rows that a first convolution sees lie side by side."""
        window, shape = self.window_of(step), self.extents[step.index].input
        halo = correlation.input_halo(window)
        halo = Halo(top=halo.top, bottom=halo.bottom)
        axis = window.horizontal
        seen = ImageShape(shape.height, axis.output, axis.kernel * shape.channels)
        title = f"{step.title} stacked rows"
        made = blocked(title, self.batch, seen, halo)
        return blocked(title, self.batch, seen, halo, self._spare(made, [product.stacked(window)]))

    def _around_rows(self, step: PlanStep) -> Halo:
        """Return the zeros around images whose rows are stacked: those beside them, and as much behind the last row as
        is read at once.
        """
        halo, shape = correlation.input_halo(self.window_of(step)), self.extents[step.index].input
        row = (halo.left + shape.width + halo.right) * shape.channels
        return Halo(left=halo.left, right=halo.right, bottom=-(-PLANE // row))

    def gradient_halo(self, step: PlanStep) -> Halo:
        """Return the zeros that a step's backward pass needs around the gradient of its output."""
        if not step.is_correlation or self.takes_planes(step):
            return NO_HALO
        window, tile = self.window_of(step), self.backward_tile(step)
        if isinstance(step.node.layer, ConvTranspose2d):
            return correlation.input_halo(window)
        halo = tile_halo(tile, window) if tile else NO_HALO
        if step.inputs[0] in self.learning and not tile:
            halo = halo.union(correlation.gradient_halo(window))
        return halo

    def reads_scalars(self, index: int) -> bool:
        """Whether a value is only taken value by value, so that channels need no padding to whole vectors."""
        users = self.steps.users(index)
        return bool(users) and all(
            self.reads_scalars(user.index) if user.is_flatten else user.reads_each and index not in user.added
            for user in users
        )
