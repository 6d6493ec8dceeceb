"""The layers: what each computes, which shapes it takes and gives, and which parameters it holds.

Layers are frozen data. Nothing here computes; the engines do.
"""

from __future__ import annotations

from dataclasses import dataclass

from neocog.errors import SettingError, ShapeError
from neocog.nn.limits import MAX_PADDED_VALUES, MAX_WORK, check_count, memory_values, shown
from neocog.nn.shapes import ImageShape, Shape, VectorShape
from neocog.nn.window import Padding, Pair, Window, check_pair, resolve_window


@dataclass(frozen=True, slots=True)
class Layer:
    """Base of all layers. `output_shape` says what a layer gives for what it takes, or raises ShapeError."""

    def output_shape(self, x: Shape) -> Shape:
        """Return the shape of the output for an input of shape `x`; most layers keep the shape."""
        return x

    def weight_shape(self, x: Shape) -> tuple[int, ...] | None:
        """Return the shape of the weights as they lie in memory, or None for a layer without parameters."""
        return None


def _image(layer: Layer, x: Shape) -> ImageShape:
    if not isinstance(x, ImageShape):
        raise ShapeError(
            f"{type(layer).__name__} needs an image, got {x}", hint="put it before Flatten, or remove the Flatten"
        )
    return x


def _outputs(layer: Layer, x: ImageShape, window: Window) -> tuple[int, int]:
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
    return vertical.output, horizontal.output


@dataclass(frozen=True, slots=True)
class Conv2d(Layer):
    """Slide `channels` filters over the image; each gives one feature map (a correlation: filters are not flipped).

    Arguments:
        channels: number of filters, and so of feature maps that come out.
        kernel: height and width of a filter, pixels.
        stride: pixels from one window to the next.
        padding: pixels of zeros on every side, or "same" for ceil(input / stride) outputs.
        dilation: pixels from one tap of the filter to the next.
        bias: whether each filter adds a learned constant.

    Weights lie in memory as (kernel row, kernel column, input channel, filter).

    Source: LeCun et al. 1998, Gradient-based learning applied to document recognition.

    >>> Conv2d(2, 3).output_shape(ImageShape(6, 6, 1))
    ImageShape(height=4, width=4, channels=2)
    """

    channels: int
    kernel: Pair = 3
    stride: Pair = 1
    padding: Padding = 0
    dilation: Pair = 1
    bias: bool = True

    def __post_init__(self) -> None:
        check_count("Conv2d", "channels", self.channels)
        check_pair("Conv2d", "kernel", self.kernel, 1)
        check_pair("Conv2d", "stride", self.stride, 1)
        check_pair("Conv2d", "dilation", self.dilation, 1)
        if self.padding != "same":
            check_pair("Conv2d", "padding", self.padding, 0)

    def window(self, x: ImageShape) -> Window:
        """Return the filter's walk over an image of shape `x`."""
        return resolve_window(
            x.height,
            x.width,
            kernel=self.kernel,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
        )

    def output_shape(self, x: Shape) -> ImageShape:
        image = _image(self, x)
        return ImageShape(*_outputs(self, image, self.window(image)), self.channels)

    def weight_shape(self, x: Shape) -> tuple[int, ...]:
        image = _image(self, x)
        window = self.window(image)
        return (window.vertical.kernel, window.horizontal.kernel, image.channels, self.channels)


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

    def walk(self, x: ImageShape) -> Window:
        """Return the window's walk over an image of shape `x`."""
        stride = self.window if self.stride is None else self.stride
        return resolve_window(x.height, x.width, kernel=self.window, stride=stride, padding=self.padding)

    def output_shape(self, x: Shape) -> ImageShape:
        image = _image(self, x)
        return ImageShape(*_outputs(self, image, self.walk(image)), image.channels)


@dataclass(frozen=True, slots=True)
class MaxPool2d(_Pool2d):
    """Keep the largest value of each window; its gradient goes to the winner (the first in row-major order, on a tie).

    Arguments:
        window: height and width of the window, pixels.
        stride: pixels from one window to the next; None means `window`.
        padding: pixels on every side that never win, at most half the window.

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
class ReLU(Layer):
    """max(x, 0), value by value; the gradient passes where x > 0."""


@dataclass(frozen=True, slots=True)
class Flatten(Layer):
    """Lay an image out as a vector, in (row, column, channel) order."""

    def output_shape(self, x: Shape) -> VectorShape:
        image = _image(self, x)
        return VectorShape(image.size, image)


@dataclass(frozen=True, slots=True)
class Linear(Layer):
    """Fully connected: every output is a weighted sum of every input.

    Arguments:
        features: number of outputs.
        bias: whether each output adds a learned constant.

    Weights lie in memory as (input, output).
    """

    features: int
    bias: bool = True

    def __post_init__(self) -> None:
        check_count("Linear", "features", self.features)

    def output_shape(self, x: Shape) -> VectorShape:
        self.weight_shape(x)
        return VectorShape(self.features)

    def weight_shape(self, x: Shape) -> tuple[int, ...]:
        if not isinstance(x, VectorShape):
            raise ShapeError(f"Linear needs a vector, got {x}", hint="put a Flatten() before it")
        return (x.features, self.features)


@dataclass(frozen=True, slots=True)
class Dropout(Layer):
    """While training, zero each value with probability `rate` and scale the others by 1 / (1 - rate).

    Source: Srivastava et al. 2014, Dropout: a simple way to prevent neural networks from overfitting.
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate < 1.0:
            raise SettingError(f"Dropout: rate must lie in [0, 1), got {shown(self.rate)}")


@dataclass(frozen=True, slots=True, init=False)
class Sequential(Layer):
    """Layers one after another; a Sequential may hold others.

    >>> net = Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(10))
    >>> net.output_shape(ImageShape(6, 6, 1))
    VectorShape(features=10, image=None)
    """

    layers: tuple[Layer, ...]

    def __init__(self, *layers: Layer) -> None:
        for position, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                hint = f"write {layer.__name__}(...)" if isinstance(layer, type) else "pass layers one by one"
                raise SettingError(f"Sequential: item {position} must be a layer, got {shown(layer)}", hint=hint)
        object.__setattr__(self, "layers", layers)

    def output_shape(self, x: Shape) -> Shape:
        for layer in self.layers:
            x = layer.output_shape(x)
        return x

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"
