"""Convolution: filters that slide over an image."""

from __future__ import annotations

from dataclasses import dataclass, field

from neocog.errors import SettingError, ShapeError
from neocog.nn.layer import Layer, Variable, image_input
from neocog.nn.layers.sliding import check_window
from neocog.nn.limits import check_count, check_flag, shown
from neocog.nn.shapes import ImageShape, Shape
from neocog.nn.window import Padding, Pair, Window, check_padding, check_pair, resolve_window

__all__ = ["Conv2d"]


@dataclass(frozen=True, slots=True)
class Conv2d(Layer):
    """Slide `channels` filters over the image; each gives one feature map (a correlation: filters are not flipped).

    Arguments:
        channels: number of filters, and so of feature maps that come out.
        kernel: height and width of a filter, pixels.
        stride: pixels from one window to the next.
        padding: pixels of zeros on every side, (vertical, horizontal), or ((top, bottom), (left, right)); "same" for
            ceil(input / stride) outputs.
        dilation: pixels from one tap of the filter to the next.
        bias: whether each filter adds a learned constant.
        groups: into how many equal groups channels and filters are cut, in order; a filter sees the channels of its
            own group alone. As many groups as there are channels make it depthwise: one filter, or several, for each.

    Weights lie in memory as (kernel row, kernel column, input channel of the group, filter).

    Sources: LeCun et al. 1998, Gradient-based learning applied to document recognition; groups: Krizhevsky et al. 2012,
    ImageNet classification with deep convolutional neural networks; depthwise: Howard et al. 2017, MobileNets.

    >>> Conv2d(2, 3).output_shape(ImageShape(6, 6, 1))
    ImageShape(height=4, width=4, channels=2)
    >>> Conv2d(8, 3, groups=8).variables(ImageShape(6, 6, 8))[0].shape
    (3, 3, 1, 8)
    """

    channels: int
    kernel: Pair = 3
    stride: Pair = 1
    padding: Padding = 0
    dilation: Pair = 1
    bias: bool = True
    groups: int = field(default=1, metadata={"later": True})

    def __post_init__(self) -> None:
        check_count("Conv2d", "channels", self.channels)
        check_pair("Conv2d", "kernel", self.kernel, 1)
        check_pair("Conv2d", "stride", self.stride, 1)
        check_pair("Conv2d", "dilation", self.dilation, 1)
        check_padding("Conv2d", self.padding)
        check_flag("Conv2d", "bias", self.bias)
        check_count("Conv2d", "groups", self.groups)
        if self.channels % self.groups:
            raise SettingError(
                f"Conv2d: groups must divide channels, got {shown(self.groups)} groups for "
                f"{shown(self.channels)} channels",
                hint="a depthwise convolution has as many channels as its input, or a multiple, and groups=channels",
            )

    def window_over(self, x: ImageShape) -> Window:
        """Return the filter's walk over an image of shape `x`."""
        return resolve_window(
            x.height,
            x.width,
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )

    def output_shape(self, *inputs: Shape) -> ImageShape:
        image = image_input(self, inputs[0])
        if image.channels % self.groups:
            raise ShapeError(
                f"Conv2d needs an input whose channels its {self.groups} groups divide, got {image.channels} channels",
                hint=f"groups={image.channels} gives each channel filters of its own (a depthwise convolution)",
            )
        window = self.window_over(image)
        check_window(self, image, window)
        return ImageShape(window.vertical.output, window.horizontal.output, self.channels)

    def variables(self, *inputs: Shape) -> tuple[Variable, ...]:
        image = image_input(self, inputs[0])
        window = self.window_over(image)
        shape = (window.vertical.kernel, window.horizontal.kernel, image.channels // self.groups, self.channels)
        bias = (Variable("bias", (self.channels,), 0.0, decay=False),) if self.bias else ()
        return (Variable("weight", shape), *bias)
