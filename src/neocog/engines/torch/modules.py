"""A PyTorch module for each kind of layer: PyTorch's own where it computes the same, else one of these."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (the name that all PyTorch code uses)

from neocog.engines.torch.dropout import SharedDropout
from neocog.engines.torch.norm import BatchNorm
from neocog.engines.torch.vectors import in_order_of, in_our_order
from neocog.nn.graph import Node
from neocog.nn.layer import Layer, channels_of
from neocog.nn.layers import (
    ELU,
    GELU,
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    BatchNorm2d,
    ChannelShuffle,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Dropout2d,
    DropPath,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    Multiply,
    PixelShuffle,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Tanh,
    Upsample,
)
from neocog.nn.shapes import ImageShape
from neocog.nn.window import counts, pair, sides_of


class PaddedConv2d(torch.nn.Conv2d):  # type: ignore[misc]  # PyTorch is untyped here
    """A convolution that pads by itself: "same" can need one pixel more after than before, which Conv2d cannot do.

    A padding module beside it would shift the numbering of the parameters' names.
    """

    def __init__(self, layer: Conv2d, node: Node) -> None:
        image = node.input
        assert isinstance(image, ImageShape)  # a convolution refuses anything else
        window = layer.window_over(image)
        vertical, horizontal = window.vertical, window.horizontal
        even = vertical.before == vertical.after and horizontal.before == horizontal.after
        super().__init__(
            image.channels,
            layer.channels,
            (vertical.kernel, horizontal.kernel),
            stride=(vertical.stride, horizontal.stride),
            padding=(vertical.before, horizontal.before) if even else 0,
            dilation=(vertical.dilation, horizontal.dilation),
            groups=layer.groups,
            bias=layer.bias,
        )
        # F.pad counts from the last axis: left, right, top, bottom.
        around = (horizontal.before, horizontal.after, vertical.before, vertical.after)
        self.around = None if even else around

    def forward(self, x: Any) -> Any:
        """Pad x (N, C, H, W), then convolve."""
        return super().forward(x if self.around is None else F.pad(x, self.around))


class TransposedConv(torch.nn.ConvTranspose2d):  # type: ignore[misc]
    """A transposed convolution that may cut off otherwise on each side, which PyTorch's does not."""

    def __init__(self, layer: ConvTranspose2d, node: Node) -> None:
        around = sides_of(layer.padding)
        even = all(before == after for before, after in around)
        super().__init__(
            channels_of(node.input),
            layer.channels,
            layer.kernel,
            layer.stride,
            tuple(before for before, _ in around) if even else 0,
            layer.output_padding,
            bias=layer.bias,
            dilation=layer.dilation,
        )
        self.cut = None if even else around

    def forward(self, x: Any) -> Any:
        """Enlarge x (N, C, H, W), then cut off."""
        y = super().forward(x)
        if self.cut is None:
            return y
        (top, bottom), (left, right) = self.cut
        return y[..., top : y.shape[2] - bottom, left : y.shape[3] - right]


class PaddedPool(torch.nn.Module):  # type: ignore[misc]
    """A pooling with more padding than PyTorch's own take: half the window, the same on both sides."""

    def __init__(self, layer: MaxPool2d | AvgPool2d, node: Node) -> None:
        super().__init__()
        assert isinstance(node.input, ImageShape)
        walk = layer.window_over(node.input)
        axes = (walk.vertical, walk.horizontal)
        kernel, stride = tuple(axis.kernel for axis in axes), tuple(axis.stride for axis in axes)
        largest = isinstance(layer, MaxPool2d)
        self.fill = -math.inf if largest else 0.0
        self.around = (walk.horizontal.before, walk.horizontal.after, walk.vertical.before, walk.vertical.after)
        self.pool = torch.nn.MaxPool2d(kernel, stride) if largest else torch.nn.AvgPool2d(kernel, stride)
        if isinstance(layer, AvgPool2d):
            down, across = (torch.tensor(numbers) for numbers in counts(layer.counted_over(node.input)))
            self.register_buffer("share", walk.cells / (down[:, None] * across).double(), persistent=False)

    def forward(self, x: Any) -> Any:
        """Pad x (N, C, H, W), then pool; a mean is that of the cells that count."""
        y = self.pool(F.pad(x, self.around, value=self.fill))
        return y * self.share.to(y.dtype) if self.fill == 0.0 else y


def pooling(layer: MaxPool2d | AvgPool2d, node: Node) -> Any:
    """Return PyTorch's own pooling, or, where that refuses the padding, one that pads by itself."""
    around = None if layer.padding == "same" else sides_of(layer.padding)
    if around is None or any(a != b or a > side // 2 for (a, b), side in zip(around, pair(layer.window), strict=True)):
        return PaddedPool(layer, node)
    padding = tuple(before for before, _ in around)
    if isinstance(layer, MaxPool2d):
        return torch.nn.MaxPool2d(layer.window, layer.stride, padding, ceil_mode=layer.ceil_mode)
    return torch.nn.AvgPool2d(layer.window, layer.stride, padding, layer.ceil_mode, layer.count_include_pad)


class GlobalAvgPool(torch.nn.Module):  # type: ignore[misc]
    """The mean of each map: (N, C, H, W) → (N, C)."""

    def forward(self, x: Any) -> Any:
        """Take the means."""
        return x.mean((2, 3))


class GroupNormModule(torch.nn.GroupNorm):  # type: ignore[misc]
    """PyTorch's own, which as a module refuses a group of a single value.

    Its backward pass for images in channels_last, where the gradient lies otherwise, ends the process now and then
    (PyTorch 2.13 on processors): so channels come first here.
    """

    def forward(self, x: Any) -> Any:
        """Normalise x (N, C, H, W)."""
        return torch.group_norm(x.contiguous(), self.num_groups, self.weight, self.bias, self.eps)


class LayerScaleModule(torch.nn.Module):  # type: ignore[misc]
    """One factor for each channel, which PyTorch has no module for."""

    def __init__(self, layer: LayerScale, channels: int) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.full((channels,), layer.start))

    def forward(self, x: Any) -> Any:
        """Scale x (N, C, H, W) or (N, C)."""
        return x * self.weight.view(1, -1, *(1,) * (x.ndim - 2))


class LayerNormModule(torch.nn.LayerNorm):  # type: ignore[misc]
    """PyTorch's own, over the channels, which come second in images."""

    def forward(self, x: Any) -> Any:
        """Normalise each pixel of x (N, C, H, W), or each vector of x (N, C)."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class Sixths(torch.nn.Module):  # type: ignore[misc]
    """A function that divides by six, which PyTorch's own do in single precision even where they compute in double.

    Arguments:
        usual: PyTorch's function.
        double: the same, written with others.
    """

    def __init__(self, usual: Callable[[Any], Any], double: Callable[[Any], Any]) -> None:
        super().__init__()
        self.usual = usual
        self.double = double

    def forward(self, x: Any) -> Any:
        """Apply the function."""
        return self.double(x) if x.dtype == torch.float64 else self.usual(x)


class MaxoutModule(torch.nn.Module):  # type: ignore[misc]
    """The largest of several channels; see `neocog.nn.layers.Maxout`."""

    def __init__(self, layer: Maxout, node: Node) -> None:
        super().__init__()
        self.pieces = layer.pieces
        self.shape = node.input

    def forward(self, x: Any) -> Any:
        """Compare the pieces of x (N, C, H, W) or (N, C)."""
        x = in_our_order(x, self.shape)
        return x.unflatten(1, (self.pieces, -1)).max(1).values


class Join(torch.nn.Module):  # type: ignore[misc]
    """Adds or multiplies several tensors, whose vectors are first brought into the order of the first."""

    def __init__(self, combine: Callable[[Any, Any], Any], node: Node) -> None:
        super().__init__()
        self.combine = combine
        self.node = node

    def forward(self, *inputs: Any) -> Any:
        """Combine them all."""
        shapes = self.node.shapes
        alike = [in_order_of(x, shape, shapes[0]) for x, shape in zip(inputs, shapes, strict=True)]
        return reduce(self.combine, alike)


class Concatenated(torch.nn.Module):  # type: ignore[misc]
    """Lays channels side by side; vectors in our order, since several of PyTorch's do not make one of it."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.node = node

    def forward(self, *inputs: Any) -> Any:
        """Concatenate (N, C, H, W) or (N, C) along the channels."""
        return torch.cat([in_our_order(x, shape) for x, shape in zip(inputs, self.node.shapes, strict=True)], 1)


class Sliced(torch.nn.Module):  # type: ignore[misc]
    """Some of the channels; of vectors in our order, which is what a Slice counts in."""

    def __init__(self, layer: Slice, node: Node) -> None:
        super().__init__()
        self.shape = node.input
        self.start, self.stop = layer.span(node.input)

    def forward(self, x: Any) -> Any:
        """Take the channels of x (N, C, H, W) or (N, C)."""
        return in_our_order(x, self.shape)[:, self.start : self.stop]


Rules = dict[type[Layer], Callable[[Any, Node], Any]]

RULES: Rules = {
    Conv2d: PaddedConv2d,
    ConvTranspose2d: TransposedConv,
    MaxPool2d: pooling,
    AvgPool2d: pooling,
    AdaptiveAvgPool2d: lambda layer, node: torch.nn.AdaptiveAvgPool2d(layer.output_size),
    GlobalAvgPool2d: lambda layer, node: GlobalAvgPool(),
    Flatten: lambda layer, node: torch.nn.Flatten(),
    Linear: lambda layer, node: torch.nn.Linear(node.input.size, layer.features, bias=layer.bias),
    ReLU: lambda layer, node: torch.nn.ReLU(),
    ReLU6: lambda layer, node: torch.nn.ReLU6(),
    LeakyReLU: lambda layer, node: torch.nn.LeakyReLU(layer.slope),
    PReLU: lambda layer, node: torch.nn.PReLU(channels_of(node.input)),
    ELU: lambda layer, node: torch.nn.ELU(layer.alpha),
    SiLU: lambda layer, node: torch.nn.SiLU(),
    GELU: lambda layer, node: torch.nn.GELU(layer.approximate),
    Hardsigmoid: lambda layer, node: Sixths(F.hardsigmoid, lambda x: F.relu6(x + 3) / 6),
    Hardswish: lambda layer, node: Sixths(F.hardswish, lambda x: x * F.relu6(x + 3) / 6),
    Sigmoid: lambda layer, node: torch.nn.Sigmoid(),
    Tanh: lambda layer, node: torch.nn.Tanh(),
    Softmax: lambda layer, node: torch.nn.Softmax(1),
    LayerScale: lambda layer, node: LayerScaleModule(layer, channels_of(node.input)),
    Maxout: MaxoutModule,
    BatchNorm2d: lambda layer, node: BatchNorm(layer, channels_of(node.input)),
    GroupNorm: lambda layer, node: GroupNormModule(
        layer.groups, channels_of(node.input), layer.epsilon, affine=layer.affine
    ),
    LayerNorm2d: lambda layer, node: LayerNormModule(
        channels_of(node.input), layer.epsilon, elementwise_affine=layer.affine
    ),
    LocalResponseNorm: lambda layer, node: torch.nn.LocalResponseNorm(layer.size, layer.alpha, layer.beta, layer.k),
    Dropout: SharedDropout,
    Dropout2d: SharedDropout,
    DropPath: SharedDropout,
    Add: lambda layer, node: Join(torch.add, node),
    Multiply: lambda layer, node: Join(torch.mul, node),
    Concatenate: lambda layer, node: Concatenated(node),
    Slice: Sliced,
    ChannelShuffle: lambda layer, node: torch.nn.ChannelShuffle(layer.groups),
    PixelShuffle: lambda layer, node: torch.nn.PixelShuffle(layer.factor),
    Upsample: lambda layer, node: torch.nn.Upsample(scale_factor=tuple(map(float, pair(layer.scale))), mode=layer.mode),
}
"""From a layer and its node to a module."""
