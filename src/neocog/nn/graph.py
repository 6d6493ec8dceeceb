"""A network resolved against an input: every layer in order, named, with its shapes."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from neocog.errors import SettingError, ShapeError
from neocog.nn.layers import Layer, Sequential
from neocog.nn.limits import (
    MAX_DEPTH,
    MAX_LAYERS,
    MAX_PARAMETERS,
    MAX_PIXELS,
    MAX_SIDE,
    MAX_VALUES,
    memory_values,
    shown,
)
from neocog.nn.shapes import ImageShape, Shape, VectorShape

UNKNOWN_LIMIT = 32.0  # images in units of their standard deviation stay far below, those in 0 to 255 reach beyond
HALF_A_LEVEL = 0.5 / 255  # of 8 bits: what arithmetic may leave below 0 in an image in [0, 1]
BRIGHTEST = 2.0  # white, brightened: images divided by their standard deviation reach beyond


@dataclass(frozen=True, slots=True)
class Node:
    """One layer of a network: `name` is its path as PyTorch writes it ("0", "3.1"), `index` its place in the order."""

    index: int
    name: str
    layer: Layer
    input: Shape
    output: Shape

    @property
    def title(self) -> str:
        """How messages name this layer."""
        return f"layer {self.name} ({type(self.layer).__name__})"


@dataclass(frozen=True, slots=True)
class Normalisation:
    """What happens to an image before the first layer: (value - mean) / std, per channel, on values in [0, 1].

    uint8 images are divided by 255 first. One number stands for all channels.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, self.mean)):
            raise SettingError(f"mean must be finite, got {self.mean}")
        if not all(math.isfinite(s) and s > 0 for s in self.std):
            raise SettingError(f"std must be finite and above 0, got {self.std}")

    @property
    def is_identity(self) -> bool:
        """Whether nothing happens: images that somebody normalised already are welcome."""
        return not any(self.mean) and all(value == 1.0 for value in self.std)

    @property
    def value_limits(self) -> tuple[float, float]:
        """Between which numbers floating-point images must lie to mean something.

        Images that are normalised here must be in [0, 1], with a little room: for rounding below 0, for brightened
        ones above 1, and for the mean itself, wherever it is. Images beyond that are normalised already, and would be
        twice. Where nothing is normalised, only those in 0 to 255 are told apart.
        """
        if self.is_identity:
            return -UNKNOWN_LIMIT, UNKNOWN_LIMIT
        return min(-HALF_A_LEVEL, *self.mean), max(BRIGHTEST, *self.mean)

    def per_channel(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and std with one entry for each of `channels`."""
        entries = []
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                raise SettingError(f"{name} must hold 1 or {channels} numbers, got {len(values)}")
            entries.append(values * channels if len(values) == 1 else values)
        return entries[0], entries[1]


@dataclass(frozen=True, slots=True)
class Graph:
    """A network with every shape known. Make one with `trace`."""

    net: Sequential
    input: ImageShape
    normalisation: Normalisation
    nodes: tuple[Node, ...] = field(repr=False)

    @property
    def output(self) -> VectorShape:
        """The vector that the last layer gives: one value a class."""
        shape = self.nodes[-1].output
        assert isinstance(shape, VectorShape)  # trace refuses anything else
        return shape

    @property
    def feature_node(self) -> int:
        """Index of the layer whose output is the features: the last Flatten, at the end of the convolution part."""
        return max(n.index for n in self.nodes if isinstance(n.input, ImageShape))


def _walk(layers: Sequence[Layer], prefix: str = "", depth: int = 1) -> Iterator[tuple[str, Layer]]:
    if depth > MAX_DEPTH:
        raise SettingError(f"the network is nested more than {MAX_DEPTH} deep, put its layers into one Sequential")
    for position, layer in enumerate(layers):
        if isinstance(layer, Sequential):
            yield from _walk(layer.layers, f"{prefix}{position}.", depth + 1)
        else:
            yield f"{prefix}{position}", layer


def _check_input(input_shape: ImageShape | tuple[int, int, int]) -> ImageShape:
    if not isinstance(input_shape, ImageShape):
        if not isinstance(input_shape, Sequence) or len(input_shape) != 3:
            raise ShapeError(
                f"input_shape must be (height, width, channels), got {shown(input_shape)}",
                hint="a grey image of 28 x 28 pixels is (28, 28, 1)",
            )
        try:
            input_shape = ImageShape(*map(operator.index, input_shape))
        except TypeError:
            raise ShapeError(f"input_shape must hold whole numbers, got {shown(input_shape)}") from None
    sides = (input_shape.height, input_shape.width, input_shape.channels)
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise ShapeError(f"input_shape must hold numbers from 1 to {MAX_SIDE}, got {shown(sides)}")
    if input_shape.height * input_shape.width > MAX_PIXELS or memory_values(*sides) > MAX_VALUES:
        raise ShapeError(
            f"input_shape must hold at most {MAX_PIXELS:,} pixels and {MAX_VALUES:,} values, got {input_shape}",
            hint="4096 x 4096 pixels are possible: bring images to a smaller size first, or cut them into tiles",
        )
    return input_shape


def _check_output(layer: Layer, output: Shape) -> None:
    if isinstance(output, ImageShape) and memory_values(output.height, output.width, output.channels) > MAX_VALUES:
        raise ShapeError(
            f"{type(layer).__name__} gives {output}, more than the {MAX_VALUES:,} values that are possible",
            hint="use fewer channels, smaller images, or a stride",
        )


def _check_totals(nodes: Sequence[Node]) -> None:
    weights = sum(math.prod(node.layer.weight_shape(node.input) or (0,)) for node in nodes)
    if weights > MAX_PARAMETERS:
        largest = max(nodes, key=lambda node: math.prod(node.layer.weight_shape(node.input) or (0,)))
        raise ShapeError(
            f"a network may hold at most {MAX_PARAMETERS:,} weights, got {weights:,}",
            details=(f"{largest.title} takes {largest.input} and gives {largest.output}",),
            hint="pool more before the first Linear, or give it fewer features",
        )


def _source(nodes: Sequence[Node], shape: Shape) -> str:
    return f"input: {nodes[-1].title if nodes else 'the image'} gives {shape}"


def trace(
    net: Sequential, input_shape: ImageShape | tuple[int, int, int], normalisation: Normalisation | None = None
) -> Graph:
    """Resolve a network against the shape of its images.

    Arguments:
        net: the layers.
        input_shape: (height, width, channels) of an image, pixels.
        normalisation: what happens to the images first; default: nothing.

    Raises:
        ShapeError: a layer cannot take what comes to it; the message names the layer and where its input came from.

    >>> from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
    >>> graph = trace(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(10)), (6, 6, 1))
    >>> [str(node.output) for node in graph.nodes][0]
    '2 channels of 4 x 4 pixels'
    """
    input_shape = _check_input(input_shape)
    normalisation = normalisation or Normalisation()
    normalisation.per_channel(input_shape.channels)
    nodes: list[Node] = []
    shape: Shape = input_shape
    for name, layer in _walk(net.layers):
        if len(nodes) == MAX_LAYERS:
            raise ShapeError(f"a network may have at most {MAX_LAYERS:,} layers")
        try:
            output = layer.output_shape(shape)
            _check_output(layer, output)
        except ShapeError as error:
            raise ShapeError(
                f"layer {name} ({type(layer).__name__}){error.message.removeprefix(type(layer).__name__)}",
                details=(_source(nodes, shape),),
                hint=error.hint,
            ) from None
        nodes.append(Node(len(nodes), name, layer, shape, output))
        shape = output
    if not nodes:
        raise ShapeError("a network needs at least one layer, got none")
    if not isinstance(shape, VectorShape):
        raise ShapeError(
            f"a network must end in a vector, one value a class, got {shape}",
            details=(_source(nodes, shape),),
            hint="end it with Flatten(), Linear(number of classes)",
        )
    _check_totals(nodes)
    return Graph(net, input_shape, normalisation, tuple(nodes))
