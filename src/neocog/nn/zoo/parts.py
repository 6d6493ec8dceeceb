"""What several families of mobile networks are made of."""

from __future__ import annotations

from neocog.nn.blocks import Sequential
from neocog.nn.layer import Layer, channels_of
from neocog.nn.layers import BatchNorm2d, Conv2d
from neocog.nn.symbol import Symbol


def convolution(
    channels: int,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: Layer | None = None,
    norm: BatchNorm2d = BatchNorm2d(),  # noqa: B008 - layers are frozen
) -> Sequential:
    """Return a convolution that keeps the size of the image but for its stride, with what belongs behind it."""
    layers: list[Layer] = [
        Conv2d(channels, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        norm,
        *([activation] if activation is not None else []),
    ]
    return Sequential(*layers)


def channels(x: Symbol) -> int:
    """Return how many channels a value has; as many groups make a convolution of it depthwise."""
    return channels_of(x.shape)


def multiple_of_8(channels: float) -> int:
    """Return the multiple of 8 next to a number of channels, at least 8, and not less than 0.9 of it.

    The authors of MobileNetV2 and V3 round so, in their code.

    >>> [multiple_of_8(channels) for channels in (3, 12.0, 11.9, 18.0, 67.0)]
    [8, 16, 16, 24, 64]
    """
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8
