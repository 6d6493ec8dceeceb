"""Convolution: y[n, p, q, k] = b[k] + sum over r, s, c of  x[n, row(p, r), column(q, s), c] · w[r, s, c, k],

where row(p, r) = p · stride + r · dilation - before, and likewise column; outside the image x is zero.
"""

from __future__ import annotations

import numpy as np

from neocog.nn.layers import Conv2d
from neocog.reference.arrays import Array
from neocog.reference.rule import Call, Given, Rule, Rules, Sent
from neocog.reference.taps import crop, image_shape, pad, taps


def forward(x: Array, weight: Array, layer: Conv2d, bias: Array | None = None) -> Array:
    """Slide the filters over the images.

    Arguments:
        x: (N, H, W, C).
        weight: (r, s, C, K).
        layer: stride, padding and dilation.
        bias: (K,), or None for zeros.

    Returns:
        (N, H', W', K).

    >>> image = np.arange(9.0).reshape(1, 3, 3, 1)
    >>> forward(image, np.ones((2, 2, 1, 1)), Conv2d(1, 2))[0, :, :, 0]
    array([[ 8., 12.],
           [20., 24.]])
    """
    window = layer.window_over(image_shape(x))
    padded = pad(x, window)
    shape = (len(x), window.vertical.output, window.horizontal.output, weight.shape[-1])
    y = np.zeros(shape, np.result_type(x, weight))
    for row, column, where in taps(window):
        y += np.tensordot(padded[where], weight[row, column], axes=1)
    return y if bias is None else y + bias


def backward(x: Array, weight: Array, dy: Array, layer: Conv2d) -> tuple[Array, Array, Array]:
    """Return the gradients of x, weight and bias for dy (N, H', W', K), the gradient of the output.

    The tap that multiplied x by w on the way forward sends w·dy back to x, and x·dy to w.
    """
    window = layer.window_over(image_shape(x))
    padded = pad(x, window)
    dtype = np.result_type(x, weight, dy)
    dx = np.zeros(padded.shape, dtype)
    dw = np.zeros(weight.shape, dtype)
    for row, column, where in taps(window):
        dx[where] += np.tensordot(dy, weight[row, column].T, axes=1)
        dw[row, column] = np.tensordot(padded[where], dy, axes=((0, 1, 2), (0, 1, 2)))
    return crop(dx, window), dw, dy.sum(axis=(0, 1, 2))


def _given(call: Call[Conv2d]) -> Given:
    return Given(forward(call.x, call.variables["weight"], call.layer, call.variables.get("bias")))


def _sent(call: Call[Conv2d], dy: Array) -> Sent:
    dx, dw, db = backward(call.x, call.variables["weight"], dy, call.layer)
    return Sent((dx,), {"weight": dw} | ({"bias": db} if call.layer.bias else {}))


RULES: Rules = {Conv2d: Rule(_given, _sent)}
