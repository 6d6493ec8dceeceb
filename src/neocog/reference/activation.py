"""What works value by value: ReLU and Dropout."""

from __future__ import annotations

import numpy as np

from neocog.nn.layers import Dropout
from neocog.nn.random import dropout_bits, dropout_key, dropout_threshold
from neocog.reference.arrays import Array


def relu_forward(x: Array) -> Array:
    """Return max(x, 0); a NaN stays."""
    return np.maximum(x, 0)


def relu_backward(x: Array, dy: Array) -> Array:
    """Return the gradient of x: dy where x > 0."""
    return np.where(x > 0, dy, 0)


def dropout_mask(shape: tuple[int, ...], layer: Dropout, *, seed: int, step: int, stream: int) -> Array:
    """Tell which values a Dropout keeps.

    Arguments:
        shape: (N, H, W, C) or (N, features) of the layer's input.
        layer: how many are dropped.
        seed: that of the training.
        step: number of the training step, from 1.
        stream: which of all random streams is the layer's (`Node.stream`).

    Returns:
        booleans of that shape.
    """
    bits = dropout_bits(dropout_key(seed, step, stream), int(np.prod(shape)))
    return (bits >= dropout_threshold(layer.rate)).reshape(shape)


def dropout_forward(x: Array, mask: Array, layer: Dropout) -> Array:
    """Zero what the mask drops and scale the rest by 1 / (1 - rate), so that the mean stays."""
    return np.where(mask, x * (1.0 / (1.0 - layer.rate)), 0)


def dropout_backward(mask: Array, dy: Array, layer: Dropout) -> Array:
    """Return the gradient of x."""
    return np.where(mask, dy * (1.0 / (1.0 - layer.rate)), 0)
