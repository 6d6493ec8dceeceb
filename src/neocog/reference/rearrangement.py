"""Layers that move values: each gradient goes back the way that the value came."""

from __future__ import annotations

import numpy as np

from neocog.nn.layers import ChannelShuffle, PixelShuffle, Slice
from neocog.nn.shapes import ImageShape, Shape, VectorShape
from neocog.reference.arrays import Array
from neocog.reference.rule import Call, LayerResult, ReferenceRule, Rules, Sent


def shuffle(x: Array, groups: int) -> Array:
    """Deal the channels of each group out in turn.

    >>> shuffle(np.arange(6), 2)
    array([0, 3, 1, 4, 2, 5])
    """
    return x.reshape(*x.shape[:-1], groups, -1).swapaxes(-1, -2).reshape(x.shape)


def to_pixels(x: Array, factor: int) -> Array:
    """Lay the channels of each pixel out as a block: (N, H, W, C · f · f) → (N, H · f, W · f, C)."""
    count, height, width, channels = x.shape
    parts = x.reshape(count, height, width, channels // factor**2, factor, factor)
    return parts.transpose(0, 1, 4, 2, 5, 3).reshape(count, height * factor, width * factor, -1)


def to_channels(y: Array, factor: int) -> Array:
    """Undo that."""
    count, height, width, channels = y.shape
    parts = y.reshape(count, height // factor, factor, width // factor, factor, channels)
    return parts.transpose(0, 1, 3, 5, 2, 4).reshape(count, height // factor, width // factor, -1)


def _taken(layer: Slice, x: Array) -> slice:
    """Return which values of the last axis a Slice takes."""
    shape: Shape = ImageShape(*x.shape[1:]) if x.ndim == 4 else VectorShape(x.shape[-1])
    return slice(*layer.span(shape))


def _put_back(call: Call[Slice], dy: Array) -> Sent:
    dx = np.zeros(call.x.shape, dy.dtype)
    dx[..., _taken(call.layer, call.x)] = dy
    return Sent((dx,))


RULES: Rules = {
    Slice: ReferenceRule(lambda call: LayerResult(call.x[..., _taken(call.layer, call.x)]), _put_back),
    ChannelShuffle: ReferenceRule(
        lambda call: LayerResult(shuffle(call.x, call.layer.groups)),
        lambda call, dy: Sent((shuffle(dy, dy.shape[-1] // call.layer.groups),)),
    ),
    PixelShuffle: ReferenceRule(
        lambda call: LayerResult(to_pixels(call.x, call.layer.factor)),
        lambda call, dy: Sent((to_channels(dy, call.layer.factor),)),
    ),
}
