"""How each step is computed: decisions that follow from shapes, before anything is written down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from neocog.nn.graph import IMAGE
from neocog.nn.layers import (
    Conv2d,
    ConvTranspose2d,
    Linear,
)
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window
from neocog.plan import correlation, half_gradient, product
from neocog.plan.algorithm import LEAST_GRADIENT_TILES, choose_tile, patch_halo, tile_halo, tiles_an_image
from neocog.plan.blocked import PLANE, Blocked, blocked
from neocog.plan.layout import Halo
from neocog.plan.lower.precisions import Precisions
from neocog.plan.passes.steps import PlanStep
from neocog.plan.rounded import Rounded, pitch_of, reads_across
from neocog.plan.winograd import WinogradTile

NO_HALO = Halo()
LEAST_TILES = 8  # of all images, where transformed filters do not fit the second-level cache
CHAIN_TILES = 24  # a chain takes as many images at a time as give its Winograd layers about so many tiles
CHAIN_PIXELS = 192  # and its other convolutions about so many pixels
LEAST_BLOCKS = 4  # of images; with fewer, threads share out stages over the whole batch


@dataclass(slots=True)
class Choices(Precisions):
    """How a network is written down: what its steps compute in, and how large tiles, chains and zeros are for that."""

    @property
    def prepares(self) -> bool:
        """Whether what follows from parameters is computed once, and not in each run: they stay as they are."""
        return self.training is None or self.sought is not None

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

    # --- how values lie that are rounded ----------------------------------------------------------------------

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
