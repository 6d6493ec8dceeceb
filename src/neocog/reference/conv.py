"""Convolution: y[n, p, q, k] = b[k] + sum over r, s, c of  x[n, row(p, r), column(q, s), first(k) + c] · w[r, s, c, k],

where row(p, r) = p · stride + r · dilation - before, and likewise column; outside the image x is zero. With G groups of
C / G channels and K / G filters each, first(k) = floor(k / (K / G)) · (C / G) is the first channel of filter k's group.
"""

from __future__ import annotations

import numpy as np

from neocog.nn.layers import Conv2d
from neocog.reference.arrays import Array
from neocog.reference.rule import Call, LayerResult, ReferenceRule, Rules, Sent
from neocog.reference.taps import crop, image_shape, pad, taps


def forward(x: Array, weight: Array, layer: Conv2d, bias: Array | None = None) -> Array:
    """Slide the filters over the images.

    Arguments:
        x: (N, H, W, C).
        weight: (r, s, C / groups, K).
        layer: stride, padding, dilation and groups.
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
        y += _forward(padded[where], weight[row, column], layer.groups)
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
        dx[where] += _to_inputs(dy, weight[row, column], layer.groups)
        dw[row, column] = _to_weights(padded[where], dy, layer.groups)
    return crop(dx, window), dw, dy.sum(axis=(0, 1, 2))


# One tap. `g` counts groups, `c` the channels of one, `k` its filters.


def _forward(x: Array, weight: Array, groups: int) -> Array:
    """Multiply the pixels x (N, P, Q, C) by the weights (C / groups, K): (N, P, Q, K)."""
    if groups == 1:
        return np.tensordot(x, weight, axes=1)
    y = np.einsum("npqgc,cgk->npqgk", _in_groups(x, groups), _in_groups(weight, groups))
    return np.asarray(y.reshape(*x.shape[:3], -1))


def _to_inputs(dy: Array, weight: Array, groups: int) -> Array:
    """Send dy (N, P, Q, K) back through the weights: (N, P, Q, C)."""
    if groups == 1:
        return np.tensordot(dy, weight.T, axes=1)
    dx = np.einsum("npqgk,cgk->npqgc", _in_groups(dy, groups), _in_groups(weight, groups))
    return np.asarray(dx.reshape(*dy.shape[:3], -1))


def _to_weights(x: Array, dy: Array, groups: int) -> Array:
    """Add up x · dy over all pixels: (C / groups, K)."""
    if groups == 1:
        return np.tensordot(x, dy, axes=((0, 1, 2), (0, 1, 2)))
    dw = np.einsum("npqgc,npqgk->cgk", _in_groups(x, groups), _in_groups(dy, groups))
    return np.asarray(dw.reshape(len(dw), -1))


def _in_groups(values: Array, groups: int) -> Array:
    """Cut the last axis: (…, groups · n) → (…, groups, n)."""
    return values.reshape(*values.shape[:-1], groups, -1)


def _result(call: Call[Conv2d]) -> LayerResult:
    return LayerResult(forward(call.x, call.variables["weight"], call.layer, call.variables.get("bias")))


def _sent(call: Call[Conv2d], dy: Array) -> Sent:
    dx, dw, db = backward(call.x, call.variables["weight"], dy, call.layer)
    return Sent((dx,), {"weight": dw} | ({"bias": db} if call.layer.bias else {}))


RULES: Rules = {Conv2d: ReferenceRule(_result, _sent)}
