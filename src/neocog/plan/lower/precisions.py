"""What each step of a network computes in, and what its output is kept as: float32, bfloat16 or 8-bit integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from neocog.nn.graph import IMAGE, Graph
from neocog.nn.layer import Layer
from neocog.nn.layers import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    ChannelShuffle,
    Concatenate,
    Conv2d,
    GlobalAvgPool2d,
    Linear,
    MaxPool2d,
    Multiply,
    Slice,
)
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window
from neocog.plan.algorithm import Algorithm
from neocog.plan.blocked import PLANE, Precision
from neocog.plan.passes.steps import PlanStep, PlanSteps
from neocog.plan.passes.trim import POINT, Extent, image_extent
from neocog.plan.program import Training
from neocog.plan.rounded import Rounding
from neocog.target.processor import Target

JOINS = (ChannelShuffle, Concatenate, Slice)  # what brings channels into another order


@dataclass(slots=True)
class Precisions:
    """A network to be written down, and what for; what its steps compute in follows.

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
        kept: the steps whose output a caller reads.
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
    kept: frozenset[int] = field(kw_only=True)
    precision: Precision = field(default="float32", kw_only=True)
    roundings: Mapping[int, Rounding] = field(default_factory=dict, kw_only=True)
    sought: int | None = field(default=None, kw_only=True)
    learning: set[int] = field(default_factory=set, kw_only=True)
    _wanted: dict[int, bool] = field(default_factory=dict, kw_only=True)
    _wanted_gradients: dict[int, bool] = field(default_factory=dict, kw_only=True)
    _factors: dict[int, bool] = field(default_factory=dict, kw_only=True)
    _averaged: dict[int, bool] = field(default_factory=dict, kw_only=True)

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

    # --- in 8-bit integers ----------------------------------------------------------------------------------------

    def is_int8(self, step: PlanStep) -> bool:
        """Whether a step multiplies 8-bit integers."""
        return self.precision == "int8" and isinstance(step.node.layer, Conv2d | Linear)

    def wants_narrow(self, index: int) -> bool:
        """Whether what a step gives is kept as bfloat16 or as 8-bit integers."""
        return index in self.roundings or self.wants_half(index)

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

    def pools_narrow(self, step: PlanStep) -> bool:
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
        passes = passes or self.pools_narrow(step)
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
        if self._works_by_value(index, step) or isinstance(step.node.layer, JOINS) or step.is_flatten:
            return self.wants_half(step.index)
        return self.pools_narrow(step)

    def _works_by_value(self, index: int, step: PlanStep) -> bool:
        """Whether each value that a step gives follows from one of a value's; not where that is spread over pixels."""
        spread = isinstance(step.node.layer, Multiply) and all(
            step.node.is_pixel(place) for place, value in enumerate(step.inputs) if value == index
        )
        return type(step.node.layer) in self.by_value and not spread

    def _joins_planes(self, step: PlanStep) -> bool:
        """Whether a layer that brings channels into another order may take planes: not those of vectors, nor of images
        that lie value by value.
        """
        joins = isinstance(step.node.layer, JOINS) and step.on_images
        return joins and all(self.source_of(value) != IMAGE for value in step.inputs)

    def _joins_factors(self, step: PlanStep) -> bool:
        """Whether a step puts channels side by side for means alone, of which products of tiles take some anyway."""
        joins = isinstance(step.node.layer, Concatenate) and self._is_averaged(step.index)
        return joins and any(map(self._is_factor, step.inputs))

    def _is_averaged(self, index: int) -> bool:
        """Whether all that is taken of what a step gives, itself or behind what works value by value, are its means."""
        if index not in self._averaged:
            users = self.steps.users(index)
            self._averaged[index] = bool(users) and index not in self.kept and all(map(self._averages, users))
        return self._averaged[index]

    def _averages(self, step: PlanStep) -> bool:
        if isinstance(step.node.layer, GlobalAvgPool2d | AdaptiveAvgPool2d):
            return self.output_shape(step.index).height * self.output_shape(step.index).width == 1
        return type(step.node.layer) in self.by_value and self._is_averaged(step.index)

    def _is_factor(self, index: int) -> bool:
        """Whether products of tiles take what a step gives, themselves or behind what works value by value. Joins are
        not looked behind: it is for one of them that this is asked.
        """
        if index not in self._factors:
            self._factors[index] = any(
                self._takes_half(index, user)
                if self.takes_planes(user)
                else self._works_by_value(index, user) and self._is_factor(user.index)
                for user in self.steps.users(index)
            )
        return self._factors[index]

    def reads_scalars(self, index: int) -> bool:
        """Whether a value is only taken value by value, so that channels need no padding to whole vectors."""
        users = self.steps.users(index)
        return bool(users) and all(
            self.reads_scalars(user.index) if user.is_flatten else user.reads_each and index not in user.added
            for user in users
        )
