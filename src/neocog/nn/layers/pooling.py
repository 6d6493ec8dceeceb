"""Pooling: one value for each window, or for the whole image."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from neocog.errors import SettingError
from neocog.nn.layer import Layer, image_input
from neocog.nn.layers.sliding import check_window
from neocog.nn.limits import check_flag
from neocog.nn.shapes import ImageShape, Shape, VectorShape
from neocog.nn.window import (
    EvenAxis,
    EvenWindow,
    Padding,
    Pair,
    Window,
    WindowAxis,
    check_padding,
    check_pair,
    pair,
    resolve_window,
    sides_of,
)

__all__ = ["MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "GlobalAvgPool2d"]  # noqa: RUF022 - in the order in which people meet them


@dataclass(frozen=True, slots=True)
class _Pool2d(Layer):
    window: Pair = 2
    stride: Pair | None = None
    padding: Padding = 0
    ceil_mode: bool = field(default=False, metadata={"later": True})

    def __post_init__(self) -> None:
        kind = type(self).__name__
        check_pair(kind, "window", self.window, 1)
        if self.stride is not None:
            check_pair(kind, "stride", self.stride, 1)
        check_padding(kind, self.padding)
        check_flag(kind, "ceil_mode", self.ceil_mode)
        if self.padding == "same":
            return
        for side, around in zip(pair(self.window), sides_of(self.padding), strict=True):
            if max(around) >= side:
                raise SettingError(
                    f"{kind}: padding must be smaller than the window, got padding {max(around)} "
                    f"for a window of {side} pixels",
                    hint="a window that sees nothing but padding has no largest value",
                )

    def window_over(self, x: ImageShape) -> Window:
        """Return the window's walk over an image of shape `x`."""
        stride = self.window if self.stride is None else self.stride
        return resolve_window(
            x.height, x.width, kernel=self.window, stride=stride, padding=self.padding, ceil_mode=self.ceil_mode
        )

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
        padding: pixels around that are never the largest, fewer than the window has: on every side, (vertical,
            horizontal), ((top, bottom), (left, right)), or "same" for ceil(input / stride) outputs.
        ceil_mode: whether a last window that reaches beyond the padding counts too, where the windows do not end with
            it; it must begin in the image or the padding before it. So the number of windows is rounded up.

    >>> MaxPool2d(2).output_shape(ImageShape(4, 4, 2))
    ImageShape(height=2, width=2, channels=2)
    """


@dataclass(frozen=True, slots=True)
class AvgPool2d(_Pool2d):
    """Take the mean of each window; its gradient is shared equally. Padding counts as zeros, as in PyTorch.

    Arguments:
        window: height and width of the window, pixels.
        stride: pixels from one window to the next; None means `window`.
        padding: pixels of zeros around, as in MaxPool2d.
        ceil_mode: as in MaxPool2d. What a last window has beyond the padding never counts.
        count_include_pad: whether the padding counts; if not, a mean is that of the image's pixels alone.

    >>> AvgPool2d(2).output_shape(ImageShape(4, 4, 2))
    ImageShape(height=2, width=2, channels=2)
    """

    count_include_pad: bool = field(default=True, metadata={"later": True})

    def __post_init__(self) -> None:
        _Pool2d.__post_init__(self)
        check_flag(type(self).__name__, "count_include_pad", self.count_include_pad)

    def counted_over(self, x: ImageShape) -> Window:
        """Return the same walk as `window_over` over the pixels that count: the padding belongs to its image, if it
        counts.
        """
        walk = self.window_over(x)
        if not self.count_include_pad:
            return walk
        around = [(axis.before, axis.after) for axis in (walk.vertical, walk.horizontal)]
        if self.padding != "same":  # else there is no ceil_mode's beyond it
            around = list(sides_of(self.padding))
        vertical, horizontal = (
            WindowAxis(p + axis.input + q, axis.kernel, axis.stride, 1, axis.before - p, axis.after - q)
            for axis, (p, q) in zip((walk.vertical, walk.horizontal), around, strict=True)
        )
        return Window(vertical, horizontal)


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool2d(Layer):
    """Take the means of windows that cut any image into so many pixels, as even as can be.

    Output (p, q) of (P, Q) is the mean of the rows from p · H / P, rounded down, to (p + 1) · H / P, rounded up, and of
    the columns likewise, as in PyTorch: where P does not divide H, windows differ in size and overlap.

    Arguments:
        output_size: height and width of what comes out, pixels. 1: the values of a GlobalAvgPool2d, as an image.

    >>> AdaptiveAvgPool2d((2, 3)).output_shape(ImageShape(5, 6, 16))
    ImageShape(height=2, width=3, channels=16)
    """

    whole_image: ClassVar[bool] = True

    output_size: Pair = 1

    def __post_init__(self) -> None:
        check_pair(type(self).__name__, "output_size", self.output_size, 1)

    def counted_over(self, x: ImageShape) -> EvenWindow:
        """Return how an image of shape `x` is cut: every pixel of a window counts."""
        rows, columns = pair(self.output_size)
        return EvenWindow(EvenAxis(x.height, rows), EvenAxis(x.width, columns))

    def window_over(self, x: ImageShape) -> Window | None:
        """Return the window's walk, or None where windows differ in size."""
        cuts = self.counted_over(x)
        if cuts.vertical.overlaps or cuts.horizontal.overlaps:
            return None
        kernel = cuts.vertical.kernel, cuts.horizontal.kernel
        return resolve_window(x.height, x.width, kernel=kernel, stride=kernel, padding=0)

    def output_shape(self, *inputs: Shape) -> ImageShape:
        image = image_input(self, inputs[0])
        rows, columns = pair(self.output_size)
        return ImageShape(rows, columns, image.channels)


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

    def counted_over(self, x: ImageShape) -> Window:
        """Return the same: every pixel counts."""
        return self.window_over(x)

    def output_shape(self, *inputs: Shape) -> VectorShape:
        return VectorShape(image_input(self, inputs[0]).channels)
