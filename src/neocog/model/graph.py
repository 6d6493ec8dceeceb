"""A network resolved against an input: every layer in order, named, with its shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from neocog.errors import SettingError, ShapeError
from neocog.model.layers import Layer, Sequential
from neocog.model.shapes import ImageShape, Shape, VectorShape

MAX_SIDE = 1 << 16


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


def _walk(layers: Sequence[Layer], prefix: str = "") -> Iterator[tuple[str, Layer]]:
    for position, layer in enumerate(layers):
        if isinstance(layer, Sequential):
            yield from _walk(layer.layers, f"{prefix}{position}.")
        else:
            yield f"{prefix}{position}", layer


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

    >>> from neocog.model.layers import Conv2d, Flatten, Linear, ReLU
    >>> graph = trace(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(10)), (6, 6, 1))
    >>> [str(node.output) for node in graph.nodes][0]
    '2 channels of 4 x 4 pixels'
    """
    if not isinstance(input_shape, ImageShape):
        if not isinstance(input_shape, Sequence) or len(input_shape) != 3:
            raise ShapeError(
                f"input_shape must be (height, width, channels), got {input_shape!r}",
                hint="a grey image of 28 x 28 pixels is (28, 28, 1)",
            )
        input_shape = ImageShape(*map(int, input_shape))
    sides = (input_shape.height, input_shape.width, input_shape.channels)
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise ShapeError(f"input_shape must hold numbers from 1 to {MAX_SIDE}, got {sides}")
    normalisation = normalisation or Normalisation()
    normalisation.per_channel(input_shape.channels)
    nodes: list[Node] = []
    shape: Shape = input_shape
    for name, layer in _walk(net.layers):
        try:
            output = layer.output_shape(shape)
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
    return Graph(net, input_shape, normalisation, tuple(nodes))
