"""Joins: layers that make one value of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neocog.errors import ShapeError
from neocog.nn.layer import Layer
from neocog.nn.shapes import ImageShape, Shape, VectorShape, is_pixel_of

__all__ = ["Add", "Multiply", "Concatenate"]  # noqa: RUF022 - in the order in which people meet them


@dataclass(frozen=True, slots=True)
class _Join(Layer):
    arity: ClassVar[int | None] = None


@dataclass(frozen=True, slots=True)
class _Elementwise(_Join):
    hint: ClassVar[str]

    def output_shape(self, *inputs: Shape) -> Shape:
        whole = max(inputs, key=lambda shape: shape.size)
        other = next((x for x in inputs if _plain(x) != _plain(whole) and not is_pixel_of(x, whole)), None)
        if other is not None:
            first = inputs[0] if other != inputs[0] else whole
            raise ShapeError(
                f"{type(self).__name__} needs inputs of one shape, got {first} and {other}",
                hint=self.hint,
            )
        return whole


@dataclass(frozen=True, slots=True)
class Add(_Elementwise):
    """Add inputs of one shape, value by value; each gets the whole gradient.

    An image of one pixel stands for all pixels: its gradient is the sum over them.

    >>> Add().output_shape(ImageShape(4, 4, 2), ImageShape(4, 4, 2))
    ImageShape(height=4, width=4, channels=2)
    """

    hint: ClassVar[str] = (
        "bring the shortcut to the same shape, as in Residual(body, shortcut=Conv2d(channels, 1, stride))"
    )


@dataclass(frozen=True, slots=True)
class Multiply(_Elementwise):
    """Multiply inputs of one shape, value by value.

    An image of one pixel stands for all pixels, as the gate of each channel in `SqueezeExcite`.

    >>> Multiply().output_shape(ImageShape(4, 4, 2), ImageShape(1, 1, 2))
    ImageShape(height=4, width=4, channels=2)
    """

    hint: ClassVar[str] = (
        "give what scales as many channels as what is scaled, such as Sigmoid()(Conv2d(channels, 1)(x))"
    )


@dataclass(frozen=True, slots=True)
class Concatenate(_Join):
    """Lay the channels of images of one size side by side, or vectors one behind another.

    >>> Concatenate().output_shape(ImageShape(4, 4, 2), ImageShape(4, 4, 3))
    ImageShape(height=4, width=4, channels=5)
    """

    def output_shape(self, *inputs: Shape) -> Shape:
        first = inputs[0]
        if isinstance(first, VectorShape):
            if all(isinstance(shape, VectorShape) for shape in inputs):
                return VectorShape(sum(shape.size for shape in inputs))
        else:
            alike = [
                shape
                for shape in inputs
                if isinstance(shape, ImageShape) and (shape.height, shape.width) == (first.height, first.width)
            ]
            if len(alike) == len(inputs):
                return ImageShape(first.height, first.width, sum(shape.channels for shape in alike))
        raise ShapeError(
            f"Concatenate needs images of one size, or vectors, got {' and '.join(map(str, inputs))}",
            hint='use padding="same" and one stride in all branches',
        )


def _plain(shape: Shape) -> Shape:
    """Return the shape without what it remembers of the past."""
    return VectorShape(shape.features) if isinstance(shape, VectorShape) else shape
