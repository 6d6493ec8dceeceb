"""How each step is computed: decisions that follow from shapes, before anything is written down."""

from __future__ import annotations

from dataclasses import dataclass, field

from neocog.nn.graph import IMAGE
from neocog.nn.layers import Conv2d, ConvTranspose2d
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window
from neocog.plan import correlation
from neocog.plan.algorithm import LEAST_GRADIENT_TILES, Algorithm, choose_tile, patch_halo, tile_halo, tiles_an_image
from neocog.plan.layout import Halo
from neocog.plan.passes.steps import PlanStep, PlanSteps
from neocog.plan.passes.trim import POINT, Extent
from neocog.plan.program import Training
from neocog.plan.winograd import WinogradTile
from neocog.target.processor import Target

NO_HALO = Halo()
LEAST_TILES = 8  # of all images, where transformed filters do not fit the second-level cache
CHAIN_TILES = 24  # a chain takes as many images at a time as give its Winograd layers about so many tiles
CHAIN_PIXELS = 192  # and its other convolutions about so many pixels
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
        learning: the steps with parameters that follow gradients in front of them, or of their own.
    """

    target: Target
    batch: int
    training: Training | None
    steps: PlanSteps
    extents: tuple[Extent, ...]
    algorithm: Algorithm
    learning: set[int] = field(default_factory=set, kw_only=True)

    def output_shape(self, index: int) -> ImageShape:
        """Return the shape of what a step gives, as far as it is read."""
        return self.extents[index].output

    def window_of(self, step: PlanStep) -> Window:
        """Return a step's window; a fully connected layer has one of 1 × 1 on an image of 1 × 1."""
        return self.extents[step.index].window or Window(POINT, POINT)

    def tile_of(self, step: PlanStep) -> WinogradTile | None:
        """Choose Winograd's tile for a step's convolution; None for the direct sum."""
        if not isinstance(step.node.layer, Conv2d) or step.groups > 1:
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
            if isinstance(step.node.layer, Conv2d) and index in step.inputs:
                window, tile = self.window_of(step), self.tile_of(step)
                halo = halo.union(correlation.input_halo(window))
                if tile:
                    halo = halo.union(patch_halo(tile, window))
            if isinstance(step.node.layer, ConvTranspose2d) and index in step.inputs:
                halo = halo.union(correlation.gradient_halo(self.window_of(step)))
        return halo

    def gradient_halo(self, step: PlanStep) -> Halo:
        """Return the zeros that a step's backward pass needs around the gradient of its output."""
        if not step.is_correlation:
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
