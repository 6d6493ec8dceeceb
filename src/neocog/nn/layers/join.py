"""Joins: layers that make one value of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neocog.errors import ShapeError
from neocog.nn.layer import Layer
from neocog.nn.shapes import ImageShape, Shape, VectorShape

__all__ = ["Add", "Multiply", "Concatenate"]  # noqa: RUF022 - in the order in which people meet them


@dataclass(frozen=True, slots=True)
class _Join(Layer):
    arity: ClassVar[int | None] = None


@dataclass(frozen=True, slots=True)
class _Elementwise(_Join):
    hint: ClassVar[str]

    def output_shape(self, *inputs: Shape) -> Shape:
        first = _plain(inputs[0])
        if any(_plain(shape) != first for shape in inputs[1:]):
            other = next(shape for shape in inputs if _plain(shape) != first)
            raise ShapeError(
                f"{type(self).__name__} needs inputs of one shape, got {inputs[0]} and {other}",
                hint=self.hint,
            )
        return inputs[0]


@dataclass(frozen=True, slots=True)
class Add(_Elementwise):
    """Add inputs of one shape, value by value; each gets the whole gradient.

    >>> Add().output_shape(ImageShape(4, 4, 2), ImageShape(4, 4, 2))
    ImageShape(height=4, width=4, channels=2)
    """

    hint: ClassVar[str] = (
        "bring the shortcut to the same shape, as in Residual(body, shortcut=Conv2d(channels, 1, stride))"
    )


@dataclass(frozen=True, slots=True)
class Multiply(_Elementwise):
    """Multiply inputs of one shape, value by value."""

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
