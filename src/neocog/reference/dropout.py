"""What a training step leaves out: single values (Dropout), feature maps (Dropout2d), whole images (DropPath)."""

from __future__ import annotations

import math

import numpy as np

from neocog.nn.layers import Dropout, Dropout2d, DropPath
from neocog.nn.random import dropout_bits, dropout_key, dropout_threshold
from neocog.reference.arrays import Array
from neocog.reference.rule import Call, Draw, LayerResult, ReferenceRule, Rules, Sent

Dropping = Dropout | Dropout2d | DropPath


def unit_shape(shape: tuple[int, ...], layer: Dropping) -> tuple[int, ...]:
    """Return how many units are kept or dropped as one, along each axis of an input of this shape.

    Units are numbered in row-major order: of a Dropout2d, image · channels + channel; of a DropPath, the image.

    >>> unit_shape((2, 4, 4, 3), Dropout2d())
    (2, 1, 1, 3)
    """
    if isinstance(layer, Dropout):
        return shape
    last = shape[-1] if isinstance(layer, Dropout2d) else 1
    return (shape[0], *(1,) * (len(shape) - 2), last)


def mask(shape: tuple[int, ...], layer: Dropping, draw: Draw, stream: int) -> Array:
    """Tell which units of an input are kept.

    Arguments:
        shape: (N, H, W, C) or (N, features) of the layer's input.
        layer: how many are dropped.
        draw: the training step.
        stream: which of all random streams is the layer's (`Node.stream`).

    Returns:
        booleans of `unit_shape`.
    """
    units = unit_shape(shape, layer)
    bits = dropout_bits(dropout_key(draw.seed, draw.step, stream), math.prod(units))
    return (bits >= dropout_threshold(layer.rate)).reshape(units)


def forward(x: Array, kept: Array, layer: Dropping) -> Array:
    """Zero what the mask drops and scale the rest by 1 / (1 - rate), so that the mean stays."""
    return np.where(kept, x * (1.0 / (1.0 - layer.rate)), 0)


def backward(kept: Array, dy: Array, layer: Dropping) -> Array:
    """Return the gradient of x."""
    return np.where(kept, dy * (1.0 / (1.0 - layer.rate)), 0)


def _result(call: Call[Dropping]) -> LayerResult:
    if call.draw is None:
        return LayerResult(call.x)
    kept = mask(call.x.shape, call.layer, call.draw, call.stream)
    return LayerResult(forward(call.x, kept, call.layer), kept)


def _sent(call: Call[Dropping], dy: Array) -> Sent:
    return Sent((dy if call.choice is None else backward(call.choice, dy, call.layer),))


RULES: Rules = dict.fromkeys((Dropout, Dropout2d, DropPath), ReferenceRule(_result, _sent))
