"""Layers that move values and compute nothing: some of the channels, or all of them in another order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from neocog.errors import SettingError, ShapeError
from neocog.nn.layer import Layer, channels_of, image_input
from neocog.nn.limits import MAX_COUNT, MAX_SIDE, check_count, shown
from neocog.nn.shapes import ImageShape, Shape, VectorShape
from neocog.nn.symbol import Symbol

__all__ = ["Slice", "ChannelShuffle", "PixelShuffle"]  # noqa: RUF022 - in the order in which people meet them


@dataclass(frozen=True, slots=True)
class Slice(Layer):
    """Take the channels of an image, or the values of a vector, from `start` up to `stop`, which is left out.

    In the functional form, `x[..., start:stop]` is the same, and `x.split(2)` gives the halves.

    Arguments:
        start: the first channel, from 0; a negative number counts from the end.
        stop: the channel behind the last; None: all that are left.

    >>> Slice(0, 2).output_shape(ImageShape(4, 4, 3)), Slice(-1).output_shape(ImageShape(4, 4, 3))
    (ImageShape(height=4, width=4, channels=2), ImageShape(height=4, width=4, channels=1))
    """

    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("stop", self.stop)):
            whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_COUNT
            if not whole and not (name == "stop" and value is None):
                raise SettingError(
                    f"Slice: {name} must be an integer of at most {MAX_COUNT:,} in size, got {shown(value)}",
                    hint="Slice(0, 8) takes the first eight channels, Slice(8) the others",
                )

    def span(self, x: Shape) -> tuple[int, int]:
        """Return the first channel of an input of shape `x` that is taken, and the one behind the last."""
        channels = channels_of(x)
        start = self.start + (channels if self.start < 0 else 0)
        stop = channels if self.stop is None else self.stop + (channels if self.stop < 0 else 0)
        if not 0 <= start < stop <= channels:
            raise ShapeError(
                f"Slice needs at least one channel between its start and its stop, and both within the {channels} that "
                f"there are, got start {self.start} and stop {self.stop}",
                hint=f"0 <= start < stop <= {channels}, or count from the end: Slice(-1) takes the last channel",
            )
        return start, stop

    def output_shape(self, *inputs: Shape) -> Shape:
        x = inputs[0]
        start, stop = self.span(x)
        return ImageShape(x.height, x.width, stop - start) if isinstance(x, ImageShape) else VectorShape(stop - start)


@dataclass(frozen=True, slots=True)
class ChannelShuffle(Layer):
    """Deal the channels of `groups` runs out in turn, so that grouped convolutions behind see something of each run.

    Of channels 0 1 2 3 4 5 and two groups it makes 0 3 1 4 2 5.

    Arguments:
        groups: number of runs that the channels are cut into; it must divide their number.

    Source: Zhang et al. 2018, ShuffleNet: an extremely efficient convolutional neural network for mobile devices.

    >>> ChannelShuffle(2).output_shape(ImageShape(4, 4, 6))
    ImageShape(height=4, width=4, channels=6)
    """

    groups: int

    def __post_init__(self) -> None:
        check_count("ChannelShuffle", "groups", self.groups)

    def output_shape(self, *inputs: Shape) -> ImageShape:
        image = image_input(self, inputs[0])
        if image.channels % self.groups:
            raise ShapeError(
                f"ChannelShuffle needs channels that {self.groups} groups share evenly, got {image.channels}",
                hint="choose groups so that they divide the number of channels",
            )
        return image


@dataclass(frozen=True, slots=True)
class PixelShuffle(Layer):
    """Lay the channels of each pixel out as a block of `factor` × `factor` pixels: a larger image of fewer channels.

    Channel c of the output, at row a and column b of such a block, is channel (c · factor + a) · factor + b of the
    input: PyTorch's order.

    Arguments:
        factor: how many times as high and as wide the image becomes.

    Source: Shi et al. 2016, Real-time single image and video super-resolution using an efficient sub-pixel
    convolutional neural network.

    >>> PixelShuffle(2).output_shape(ImageShape(4, 3, 8))
    ImageShape(height=8, width=6, channels=2)
    """

    enlarges: ClassVar[bool] = True

    factor: int

    def __post_init__(self) -> None:
        check_count("PixelShuffle", "factor", self.factor, MAX_SIDE)

    def output_shape(self, *inputs: Shape) -> ImageShape:
        image, block = image_input(self, inputs[0]), self.factor * self.factor
        if image.channels % block:
            raise ShapeError(
                f"PixelShuffle needs a multiple of {self.factor} x {self.factor} = {block} channels, got "
                f"{image.channels}",
                hint=f"put Conv2d({block * max(1, image.channels // block)}, 1) before it",
            )
        return ImageShape(image.height * self.factor, image.width * self.factor, image.channels // block)


Symbol.cut = Slice  # what x[..., a:b] and x.split(n) are made of: a symbol comes before all layers
