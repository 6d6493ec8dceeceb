"""Pooling: one value for each window, or for the whole image."""

from __future__ import annotations

from dataclasses import dataclass

from neocog.errors import SettingError
from neocog.nn.layer import Layer, image_input
from neocog.nn.layers.sliding import check_window
from neocog.nn.shapes import ImageShape, Shape, VectorShape
from neocog.nn.window import Pair, Window, check_pair, resolve_window

__all__ = ["MaxPool2d", "AvgPool2d", "GlobalAvgPool2d"]  # noqa: RUF022 - in the order in which people meet them


@dataclass(frozen=True, slots=True)
class _Pool2d(Layer):
    window: Pair = 2
    stride: Pair | None = None
    padding: Pair = 0

    def __post_init__(self) -> None:
        kind = type(self).__name__
        check_pair(kind, "window", self.window, 1)
        if self.stride is not None:
            check_pair(kind, "stride", self.stride, 1)
        check_pair(kind, "padding", self.padding, 0)
        resolved = resolve_window(1, 1, kernel=self.window, stride=1, padding=self.padding)
        for axis in (resolved.vertical, resolved.horizontal):
            if axis.before > axis.kernel // 2:
                raise SettingError(
                    f"{kind}: padding must be at most half the window, got padding {axis.before} "
                    f"for a window of {axis.kernel} pixels",
                    hint="a window that sees nothing but padding has no largest value",
                )

    def window_over(self, x: ImageShape) -> Window:
        """Return the window's walk over an image of shape `x`."""
        stride = self.window if self.stride is None else self.stride
        return resolve_window(x.height, x.width, kernel=self.window, stride=stride, padding=self.padding)

    def output_shape(self, *inputs: Shape) -> ImageShape:
        image = image_input(self, inputs[0])
        window = self.window_over(image)
        check_window(self, image, window)
        return ImageShape(window.vertical.output, window.horizontal.output, image.channels)


@dataclass(frozen=True, slots=True)
class MaxPool2d(_Pool2d):
    """Keep the largest value of each window; its gradient goes there (to the first in row-major order, on a tie).

    Arguments:
        window: height and width of the window, pixels.
        stride: pixels from one window to the next; None means `window`.
        padding: pixels on every side that are never the largest, at most half the window.

    >>> MaxPool2d(2).output_shape(ImageShape(4, 4, 2))
    ImageShape(height=2, width=2, channels=2)
    """


@dataclass(frozen=True, slots=True)
class AvgPool2d(_Pool2d):
    """Take the mean of each window; its gradient is shared equally. Padding counts as zeros, as in PyTorch.

    Arguments:
        window: height and width of the window, pixels.
        stride: pixels from one window to the next; None means `window`.
        padding: pixels of zeros on every side, at most half the window.

    >>> AvgPool2d(2).output_shape(ImageShape(4, 4, 2))
    ImageShape(height=2, width=2, channels=2)
    """


@dataclass(frozen=True, slots=True)
class GlobalAvgPool2d(Layer):
    """Take the mean of each feature map: an image becomes a vector of its channels, whatever its size.

    Source: Lin, Chen and Yan 2014, Network in network.

    >>> GlobalAvgPool2d().output_shape(ImageShape(8, 8, 64))
    VectorShape(features=64, image=None)
    """

    def window_over(self, x: ImageShape) -> Window:
        """Return the one window, which covers the image."""
        return resolve_window(x.height, x.width, kernel=(x.height, x.width), stride=1, padding=0)

    def output_shape(self, *inputs: Shape) -> VectorShape:
        return VectorShape(image_input(self, inputs[0]).channels)
