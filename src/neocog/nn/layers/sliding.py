"""What all layers with a window check: that it fits the image, and that neither memory nor work goes beyond limits."""

from __future__ import annotations

from neocog.errors import ShapeError
from neocog.nn.layer import Layer
from neocog.nn.limits import MAX_PADDED_VALUES, MAX_WORK, memory_values
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window


def check_window(layer: Layer, x: ImageShape, window: Window) -> None:
    """Raise ShapeError unless a layer's window fits an image of shape `x`."""
    vertical, horizontal = window.vertical, window.horizontal
    if vertical.output < 1 or horizontal.output < 1:
        least = (
            max(1, vertical.reach - vertical.before - vertical.after),
            max(1, horizontal.reach - horizontal.before - horizontal.after),
        )
        raise ShapeError(
            f"{type(layer).__name__} needs an input of at least {least[0]} x {least[1]} pixels, "
            f"got {x.height} x {x.width}",
            hint="remove a pooling layer, add padding=1, or train on larger images",
        )
    # Engines keep the padding in memory too, and a small output may come of very much of it.
    needed = memory_values(vertical.padded, horizontal.padded, x.channels)
    if needed > MAX_PADDED_VALUES:
        raise ShapeError(
            f"{type(layer).__name__} needs memory for {needed:,} values an image, padding included, at most "
            f"{MAX_PADDED_VALUES:,} are possible",
            hint="use smaller images, less padding, or a stride in an earlier layer",
        )
    work = vertical.output * horizontal.output * window.cells * x.channels
    if work > MAX_WORK:
        raise ShapeError(
            f"{type(layer).__name__} looks at {work:,} values an image, at most {MAX_WORK:,} are possible",
            hint="use smaller images, a smaller window, or a stride",
        )
