"""The two shapes that flow between layers: images and vectors."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from neocog.errors import ShapeError
from neocog.nn.limits import MAX_PIXELS, MAX_SIDE, MAX_VALUES, memory_values, shown


@dataclass(frozen=True, slots=True)
class ImageShape:
    """Feature maps: `height` × `width` pixels of `channels` values each."""

    height: int
    width: int
    channels: int

    @property
    def size(self) -> int:
        """Number of values of one image."""
        return self.height * self.width * self.channels

    def __str__(self) -> str:
        plural = "channel" if self.channels == 1 else "channels"
        return f"{self.channels} {plural} of {self.height} x {self.width} pixels"


@dataclass(frozen=True, slots=True)
class VectorShape:
    """A row of `features` values.

    `image` remembers the feature maps that a Flatten laid out as this row, in (row, column, channel) order. PyTorch
    lays them out as (channel, row, column); exchanging weights with it needs to know.
    """

    features: int
    image: ImageShape | None = None

    @property
    def size(self) -> int:
        """Number of values of one vector."""
        return self.features

    def __str__(self) -> str:
        return f"a vector of {self.features} values"


Shape = ImageShape | VectorShape


def is_pixel_of(shape: Shape, whole: Shape) -> bool:
    """Tell whether a shape is an image of one pixel that can stand for all pixels of a larger one.

    >>> is_pixel_of(ImageShape(1, 1, 8), ImageShape(4, 5, 8)), is_pixel_of(ImageShape(1, 1, 8), ImageShape(1, 1, 8))
    (True, False)
    """
    if not (isinstance(shape, ImageShape) and isinstance(whole, ImageShape)):
        return False
    return shape.height == shape.width == 1 and shape.channels == whole.channels and whole.size > shape.size


def checked_image_shape(input_shape: ImageShape | tuple[int, int, int]) -> ImageShape:
    """Return a shape as an image's, or raise ShapeError."""
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
