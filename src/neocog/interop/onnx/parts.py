"""A network while it is read from an ONNX file: layers with their arrays, joined by edges, not yet a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from neocog.interop.onnx.views import View, image_view, sizes, vector_view
from neocog.nn.layer import Layer, channels_of
from neocog.nn.shapes import ImageShape, Shape
from neocog.nn.wiring import IMAGE, check_arity

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Rescale(Layer):
    """x · "scale" + "shift", constants of a file, one for each channel. None is left in a network that was read:
    `simplify.py` puts them into the layers around, or makes layers of them.
    """


@dataclass(frozen=True, slots=True)
class Erf(Layer):
    """The error function, which files make a GELU of. Elsewhere it is refused."""


@dataclass(frozen=True, slots=True)
class LogSoftmax(Layer):
    """The logarithm of a Softmax, which a network may end with. Elsewhere it is refused."""


@dataclass(frozen=True, slots=True)
class Pad(Layer):
    """Zeros around an image. Like Rescale it is gone at the end.

    Arguments:
        sides: ((top, bottom), (left, right)), pixels.
    """

    sides: tuple[tuple[int, int], tuple[int, int]]

    def output_shape(self, *inputs: Shape) -> Shape:
        x, ((top, bottom), (left, right)) = inputs[0], self.sides
        assert isinstance(x, ImageShape)
        return ImageShape(x.height + top + bottom, x.width + left + right, x.channels)


@dataclass(frozen=True, slots=True)
class Part:
    """One layer.

    Arguments:
        name: from the file, not yet of its own.
        layer: what it computes.
        inputs: numbers of the values that it takes; -1 is the image.
        output: the shape of what it gives.
        arrays: what it stores, in memory layout.
        origin: how messages name the node of the file.
    """

    name: str
    layer: Layer
    inputs: tuple[int, ...]
    output: Shape
    arrays: Mapping[str, Floats] = field(repr=False)
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """A value that depends on the image, as both sides see it.

    Arguments:
        value: its number; -1 is the image.
        shape: what neocog takes it for.
        view: how ONNX's axes lie in that.
        order: of a vector, where neocog has the value that ONNX has at each place; None: at the same.
    """

    value: int
    shape: Shape
    view: View
    order: NDArray[np.intp] | None = None

    @property
    def dims(self) -> tuple[int, ...]:
        """ONNX's shape, images of a batch included."""
        return sizes(self.view)

    @property
    def is_pixel(self) -> bool:
        """Whether it is an image of one pixel."""
        return isinstance(self.shape, ImageShape) and self.shape.height == self.shape.width == 1

    @property
    def plain(self) -> View:
        """The view of such a value as ONNX has them: (N, C, H, W), or (N, F)."""
        return plain_view(self.shape, self.view)


def plain_view(shape: Shape, like: View) -> View:
    """Return the plain view of a value, of as many images as another view has."""
    batch = next(factor.size for axis in like for factor in axis if factor.axis == "N")
    if isinstance(shape, ImageShape):
        return image_view(batch, shape.channels, shape.height, shape.width)
    return vector_view(batch, shape.features)


class Parts:
    """Layers in order."""

    def __init__(self, image: ImageShape) -> None:
        self.image = image
        self.parts: list[Part] = []
        self._arranging: dict[tuple[int, Layer], int] = {}

    def shape(self, value: int) -> Shape:
        """Return the shape of a value."""
        return self.image if value == IMAGE else self.parts[value].output

    def arranged(self, value: int, layer: Layer, origin: str) -> int:
        """Return what a layer without weights makes of a value, the same one each time that this is asked for."""
        key = (value, layer)
        if key not in self._arranging:
            source = "image" if value == IMAGE else self.parts[value].name
            name = f"{source}.{type(layer).__name__.lower()}"
            self._arranging[key] = self.add(name, layer, (value,), origin=origin)
        return self._arranging[key]

    def add(
        self,
        name: str,
        layer: Layer,
        inputs: tuple[int, ...],
        arrays: Mapping[str, Floats] | None = None,
        origin: str = "",
    ) -> int:
        """Add a layer and return the number of its value.

        Raises:
            ShapeError: it cannot take its inputs.
        """
        shapes = tuple(map(self.shape, inputs))
        check_arity(layer, len(inputs))
        output = layer.output_shape(*shapes)
        arrays = dict(arrays or {})
        if not isinstance(layer, Rescale):
            wanted = {variable.name: variable.shape for variable in layer.variables(*shapes)}
            assert {key: value.shape for key, value in arrays.items()} == wanted, (name, layer, wanted)
        else:
            assert all(value.shape == (channels_of(shapes[0]),) for value in arrays.values())
        self.parts.append(Part(name, layer, inputs, output, arrays, origin))
        return len(self.parts) - 1
