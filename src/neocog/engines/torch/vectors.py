"""The order of a vector's values: PyTorch's Flatten lays an image out by (channel, row, column), ours by (row, column,
channel). A vector whose shape remembers its image is in PyTorch's order here, any other in ours.
"""

from __future__ import annotations

from typing import Any

from neocog.nn.shapes import ImageShape, Shape, VectorShape


def image_of(shape: Shape) -> ImageShape | None:
    """Return the image that a vector was laid out from, if it was."""
    return shape.image if isinstance(shape, VectorShape) else None


def in_our_order(x: Any, shape: Shape) -> Any:
    """Bring a vector of this shape, (N, features), from (channel, row, column) to (row, column, channel) order."""
    image = image_of(shape)
    if image is None:
        return x
    return x.reshape(-1, image.channels, image.height, image.width).permute(0, 2, 3, 1).flatten(1)


def in_order_of(x: Any, shape: Shape, wanted: Shape) -> Any:
    """Bring a vector of one shape into the order that vectors of another shape have; images stay as they are."""
    if image_of(shape) == image_of(wanted):
        return x
    x, image = in_our_order(x, shape), image_of(wanted)
    if image is None:
        return x
    return x.reshape(-1, image.height, image.width, image.channels).permute(0, 3, 1, 2).flatten(1)
