"""The transposed convolution: what a convolution's gradient does, on the way forward."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from neocog.errors import SettingError, ShapeError
from neocog.nn.layer import Layer, Variable, image_input
from neocog.nn.layers.sliding import check_window
from neocog.nn.limits import check_count, check_flag
from neocog.nn.shapes import ImageShape, Shape
from neocog.nn.window import Pair, Sides, Window, check_padding, check_pair, pair, resolve_window, sides_of

__all__ = ["ConvTranspose2d"]


@dataclass(frozen=True, slots=True)
class ConvTranspose2d(Layer):
    """Lay a filter, times each pixel, over the image that comes out, `stride` pixels apart, and add up what overlaps.

    It is the gradient of the input of a Conv2d with the same settings, from a small image to a larger one: its output
    is (input - 1) · stride - 2 · padding + kernel + output_padding pixels high and wide.

    Arguments:
        channels: number of feature maps that come out.
        kernel: height and width of a filter, pixels.
        stride: pixels from one place of a filter to the next.
        padding: pixels that are cut off: on every side, (vertical, horizontal), or ((top, bottom), (left, right)).
        output_padding: pixels more at the bottom and on the right, fewer than the stride: several sizes of image have a
            convolution of one size.
        bias: whether each map adds a learned constant.
        dilation: pixels from one tap of a filter to the next.

    Weights lie in memory as (kernel row, kernel column, output channel, input channel), in PyTorch's layout as (input
    channel, output channel, kernel row, kernel column).

    Source: Dumoulin and Visin 2016, A guide to convolution arithmetic for deep learning.

    >>> ConvTranspose2d(4, 2, stride=2).output_shape(ImageShape(4, 3, 8))
    ImageShape(height=8, width=6, channels=4)
    """

    enlarges: ClassVar[bool] = True

    channels: int
    kernel: Pair = 3
    stride: Pair = 1
    padding: Pair | Sides = 0
    output_padding: Pair = 0
    bias: bool = True
    dilation: Pair = field(default=1, metadata={"later": True})

    def __post_init__(self) -> None:
        check_count("ConvTranspose2d", "channels", self.channels)
        check_pair("ConvTranspose2d", "kernel", self.kernel, 1)
        check_pair("ConvTranspose2d", "stride", self.stride, 1)
        check_padding("ConvTranspose2d", self.padding, same=False)
        check_pair("ConvTranspose2d", "dilation", self.dilation, 1)
        check_pair("ConvTranspose2d", "output_padding", self.output_padding, 0)
        if any(more >= step for more, step in zip(pair(self.output_padding), pair(self.stride), strict=True)):
            raise SettingError(
                f"ConvTranspose2d: output_padding must be smaller than the stride, got {self.output_padding} for a "
                f"stride of {self.stride}",
                hint="a pixel more than that is no pixel that the stride left out",
            )
        check_flag("ConvTranspose2d", "bias", self.bias)

    def walk(self, x: ImageShape) -> Window:
        """Return the walk over the output of the convolution that would give back an image of shape `x`."""
        sides = (x.height, x.width)
        settings = (self.kernel, self.stride, self.dilation, self.output_padding)
        height, width = (
            (side - 1) * stride - sum(around) + (kernel - 1) * dilation + 1 + more
            for side, around, kernel, stride, dilation, more in zip(
                sides, sides_of(self.padding), *map(pair, settings), strict=True
            )
        )
        return resolve_window(
            height, width, kernel=self.kernel, stride=self.stride, padding=self.padding, dilation=self.dilation
        )

    def output_shape(self, *inputs: Shape) -> ImageShape:
        image = image_input(self, inputs[0])
        walk = self.walk(image)
        given = ImageShape(walk.vertical.input, walk.horizontal.input, self.channels)
        if given.height < 1 or given.width < 1:
            raise ShapeError(
                f"ConvTranspose2d cuts off more than there is: {image.height} x {image.width} pixels become "
                f"{given.height} x {given.width}",
                hint="use less padding, or a larger kernel or stride",
            )
        check_window(self, given, walk)
        return given

    def variables(self, *inputs: Shape) -> tuple[Variable, ...]:
        image = image_input(self, inputs[0])
        (rows, columns), (down, across) = pair(self.kernel), pair(self.stride)
        # Of the taps of a filter, an output meets one in stride² of them.
        fans = (image.channels * rows * columns / (down * across), self.channels * rows * columns)
        weight = Variable("weight", (rows, columns, self.channels, image.channels), fans=fans)
        bias = (Variable("bias", (self.channels,), 0.0, decay=False),) if self.bias else ()
        return (weight, *bias)
