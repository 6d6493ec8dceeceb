"""The transposed convolution: each pixel, times a filter, added to the output where the convolution would read it."""

from __future__ import annotations

import numpy as np

from neocog.nn.layers import ConvTranspose2d
from neocog.reference.arrays import Array
from neocog.reference.rule import Call, LayerResult, ReferenceRule, Rules, Sent
from neocog.reference.taps import crop, image_shape, pad, taps


def forward(x: Array, weight: Array, layer: ConvTranspose2d, bias: Array | None = None) -> Array:
    """Lay filters over the output.

    Arguments:
        x: (N, H, W, C).
        weight: (r, s, K, C).
        layer: stride and padding.
        bias: (K,), or None for zeros.

    Returns:
        (N, H', W', K).

    >>> forward(np.array([1.0, 2.0]).reshape(1, 1, 2, 1), np.ones((1, 3, 1, 1)), ConvTranspose2d(1, (1, 3))).ravel()
    array([1., 3., 3., 2.])
    """
    walk = layer.walk(image_shape(x))
    shape = (len(x), walk.vertical.padded, walk.horizontal.padded, weight.shape[2])
    padded = np.zeros(shape, np.result_type(x, weight))
    for row, column, where in taps(walk):
        padded[where] += np.tensordot(x, weight[row, column].T, axes=1)
    y = crop(padded, walk)
    return y if bias is None else y + bias


def backward(x: Array, weight: Array, dy: Array, layer: ConvTranspose2d) -> tuple[Array, Array, Array]:
    """Return the gradients of x, weight and bias for dy (N, H', W', K), the gradient of the output."""
    walk = layer.walk(image_shape(x))
    padded, dtype = pad(dy, walk), np.result_type(x, weight, dy)
    dx, dw = np.zeros(x.shape, dtype), np.zeros(weight.shape, dtype)
    for row, column, where in taps(walk):
        dx += np.tensordot(padded[where], weight[row, column], axes=1)
        dw[row, column] = np.tensordot(padded[where], x, axes=((0, 1, 2), (0, 1, 2)))
    return dx, dw, dy.sum(axis=(0, 1, 2))


def _result(call: Call[ConvTranspose2d]) -> LayerResult:
    return LayerResult(forward(call.x, call.variables["weight"], call.layer, call.variables.get("bias")))


def _sent(call: Call[ConvTranspose2d], dy: Array) -> Sent:
    dx, dw, db = backward(call.x, call.variables["weight"], dy, call.layer)
    return Sent((dx,), {"weight": dw} | ({"bias": db} if call.layer.bias else {}))


RULES: Rules = {ConvTranspose2d: ReferenceRule(_result, _sent)}
