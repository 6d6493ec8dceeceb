"""A graph under construction: layers as nodes, joined by edges. Blocks, the functional form and files all use it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from neocog.errors import SettingError, ShapeError
from neocog.nn.limits import MAX_DEPTH, MAX_LAYERS, MAX_VALUES, memory_values
from neocog.nn.shapes import ImageShape, Shape, is_pixel_of

if TYPE_CHECKING:
    from neocog.nn.layer import Layer

IMAGE = -1
"""The number of the value that a network starts from; those that layers give count from 0."""


@dataclass(frozen=True, slots=True)
class Node:
    """One layer of a network, and where its inputs come from.

    Arguments:
        index: its place in the order, and the number of the value that it gives.
        name: its path as PyTorch writes it: "0", "3.body.1".
        layer: what it computes.
        inputs: numbers of the values that it takes, all below `index`; -1 is the image.
        shapes: the shapes of these.
        output: the shape of what it gives.
    """

    index: int
    name: str
    layer: Layer
    inputs: tuple[int, ...]
    shapes: tuple[Shape, ...]
    output: Shape

    @property
    def input(self) -> Shape:
        """The shape of the first input; most layers have no other."""
        return self.shapes[0]

    def is_pixel(self, place: int) -> bool:
        """Whether an input is an image of one pixel, which stands for all pixels of another input."""
        return any(is_pixel_of(self.shapes[place], other) for other in self.shapes)

    @property
    def weight_shape(self) -> tuple[int, ...] | None:
        """Shape of the layer's filters or matrix, as they lie in memory; None for a layer without."""
        shapes = (v.shape for v in self.layer.variables(*self.shapes))
        return next((shape for shape in shapes if len(shape) > 1), None)

    @property
    def stream(self) -> int:
        """A number that stands for the name, 32 bits: which random values a layer gets does not depend on others."""
        return zlib.crc32(self.name.encode())

    @property
    def title(self) -> str:
        """How messages name this layer."""
        return f"layer {self.name} ({type(self.layer).__name__})"


class Wiring:
    """Collects nodes in order. `wire` of a layer or block adds to it."""

    def __init__(self, image: ImageShape) -> None:
        self.image = image
        self.nodes: list[Node] = []
        self._depth = 0

    def shape(self, value: int) -> Shape:
        """Return the shape of a value."""
        return self.image if value == IMAGE else self.nodes[value].output

    def add(self, layer: Layer, name: str, inputs: tuple[int, ...]) -> int:
        """Add a layer and return the number of the value that it gives.

        Raises:
            ShapeError: the layer cannot take its inputs; the message names it and where they come from.
        """
        name = name or "0"
        if len(self.nodes) == MAX_LAYERS:
            raise ShapeError(f"a network may have at most {MAX_LAYERS:,} layers")
        shapes = tuple(map(self.shape, inputs))
        try:
            check_arity(layer, len(inputs))
            output = layer.output_shape(*shapes)
            _check_output(layer, output)
        except ShapeError as error:
            kind = type(layer).__name__
            raise ShapeError(
                f"layer {name} ({kind}){error.message.removeprefix(kind)}",
                details=(*error.details, *self._sources(inputs)),
                hint=error.hint,
            ) from None
        self.nodes.append(Node(len(self.nodes), name, layer, inputs, shapes, output))
        return len(self.nodes) - 1

    @contextmanager
    def nested(self) -> Iterator[None]:
        """Count one level of blocks inside blocks, while the body runs."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise SettingError(f"the network is nested more than {MAX_DEPTH} deep, put its layers into one Sequential")
        yield
        self._depth -= 1

    def _sources(self, inputs: Sequence[int]) -> list[str]:
        """Say where inputs come from: the edges, in words."""
        lines = []
        for position, value in enumerate(inputs):
            label = "input" if len(inputs) == 1 else f"input {position + 1}"
            source = "the image" if value == IMAGE else self.nodes[value].title
            lines.append(f"{label}: {source} gives {self.shape(value)}")
        return lines


def child(name: str, part: str) -> str:
    """Return the name of a part of a block; the outermost block has none."""
    return f"{name}.{part}" if name else part


def check_arity(layer: Layer, count: int) -> None:
    """Raise ShapeError unless a layer takes so many inputs."""
    if layer.arity is None:
        if count < 2:
            raise ShapeError(
                f"{type(layer).__name__} needs at least 2 inputs, got {count}",
                hint="use it as in Add()(x, y), or write Residual(...) or Concat(...)",
            )
    elif count != layer.arity:
        raise ShapeError(f"{type(layer).__name__} takes {layer.arity} input, got {count}")


def _check_output(layer: Layer, output: Shape) -> None:
    if isinstance(output, ImageShape) and memory_values(output.height, output.width, output.channels) > MAX_VALUES:
        raise ShapeError(
            f"{type(layer).__name__} gives {output}, more than the {MAX_VALUES:,} values that are possible",
            hint="use fewer channels, smaller images, or a stride",
        )
