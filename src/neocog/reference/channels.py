"""What looks at the channels of a pixel, or at the values of a vector: PReLU, Softmax and Maxout."""

from __future__ import annotations

import numpy as np

from neocog.nn.layers import (
    LayerScale,
    Maxout,
    PReLU,
    Softmax,
)
from neocog.reference.arrays import Array
from neocog.reference.loss import softmax
from neocog.reference.rule import Call, LayerResult, ReferenceRule, Rules, Sent


def prelu_forward(x: Array, weight: Array) -> Array:
    """Return x where x > 0, else weight · x, with one weight (C,) for each channel of x (N, …, C)."""
    return np.where(x > 0, x, weight * x)


def prelu_backward(x: Array, weight: Array, dy: Array) -> tuple[Array, Array]:
    """Return the gradients of x and weight."""
    dx = np.where(x > 0, dy, weight * dy)
    dw = np.where(x > 0, 0, x * dy).sum(axis=tuple(range(x.ndim - 1)))
    return dx, dw


def softmax_backward(y: Array, dy: Array) -> Array:
    """Return the gradient of what gave y = softmax(x): y · (dy - Σ y · dy)."""
    result: Array = y * (dy - (y * dy).sum(axis=-1, keepdims=True))
    return result


def maxout_forward(x: Array, layer: Maxout) -> tuple[Array, Array]:
    """Keep the largest of the inputs c, c + n, c + 2 n, … for output c of n.

    Returns:
        y (N, …, n), and the argmax, of the same shape: which piece was the largest, the first on a tie; a NaN is.
    """
    pieces = _pieces(x, layer)
    argmax = pieces.argmax(axis=-2)
    return np.take_along_axis(pieces, argmax[..., None, :], axis=-2)[..., 0, :], argmax.astype(np.int32)


def maxout_backward(x: Array, argmax: Array, dy: Array, layer: Maxout) -> Array:
    """Return the gradient of x: dy goes to the largest pieces, and nowhere else."""
    dx = np.zeros_like(_pieces(x, layer), dtype=dy.dtype)
    np.put_along_axis(dx, argmax[..., None, :].astype(np.int64), dy[..., None, :], axis=-2)
    return dx.reshape(x.shape)


def _pieces(x: Array, layer: Maxout) -> Array:
    return x.reshape(*x.shape[:-1], layer.pieces, x.shape[-1] // layer.pieces)


def _prelu_sent(call: Call[PReLU], dy: Array) -> Sent:
    dx, dw = prelu_backward(call.x, call.variables["weight"], dy)
    return Sent((dx,), {"weight": dw})


def _layer_scale_sent(call: Call[LayerScale], dy: Array) -> Sent:
    axes = tuple(range(dy.ndim - 1))
    return Sent((dy * call.variables["weight"],), {"weight": (dy * call.x).sum(axis=axes)})


RULES: Rules = {
    LayerScale: ReferenceRule(lambda call: LayerResult(call.x * call.variables["weight"]), _layer_scale_sent),
    PReLU: ReferenceRule(lambda call: LayerResult(prelu_forward(call.x, call.variables["weight"])), _prelu_sent),
    Softmax: ReferenceRule(
        lambda call: LayerResult(softmax(call.x)),
        lambda call, dy: Sent((softmax_backward(softmax(call.x), dy),)),
    ),
    Maxout: ReferenceRule(
        lambda call: LayerResult(*maxout_forward(call.x, call.layer)),
        lambda call, dy: Sent((maxout_backward(call.x, call.chosen, dy, call.layer),)),
    ),
}
