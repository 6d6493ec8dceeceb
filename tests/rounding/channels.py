"""What learns a number a channel, and what looks at the channels of a pixel."""

from __future__ import annotations

import numpy as np

from neocog.nn.layers import Layer, LayerScale, Maxout, PReLU, Softmax
from rounding.rule import EXP, Back, Rule, Stray, U, Use, gamma


def _prelu_forward(use: Use) -> Stray:
    weight = np.abs(use.parameters["weight"])
    below, above = use.x + use.e <= 0, use.x - use.e > 0
    steepest = np.where(above, 1, np.where(below, weight, np.maximum(weight, 1)))
    return Stray(use.e * steepest + U * np.where(above, 0, weight * use.sizes[0]))


def _prelu_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow dw = sum min(x, 0)·dy, whose terms change by no more than x and dy do."""
    weight = use.parameters["weight"]
    size = np.abs(dy) + e_dy
    slope = np.where(use.x > 0, 1, np.abs(weight))
    contested = (np.abs(use.x) <= use.e) & (use.e > 0)
    of_x = e_dy * slope + size * (np.where(contested, np.abs(1 - weight), 0) + U * np.abs(weight))
    below, axes = np.abs(np.minimum(use.x, 0)), tuple(range(use.x.ndim - 1))
    terms = use.x.size // use.x.shape[-1]
    of_w = (use.e * size + below * e_dy).sum(axis=axes) + gamma(terms + 1) * ((below + use.e) * size).sum(axis=axes)
    return Back((of_x,), {"weight": of_w})


def share_error(z: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bound the relative error of a softmax of z.

    Values that all stray by at most E change each share by a factor within exp(±2E). On top come, in relative terms,
    the rounding of z - max (|z - max|·u in the exponent, twice: for the class and for the sum), the exponential, the
    sum, and the division.

    Returns:
        the relative error; how far the exponents stray; the most that they may be below 0.
    """
    most = 2 * e.max(axis=-1, keepdims=True)
    shifted = z.max(axis=-1, keepdims=True) - z + most
    stray = np.minimum(most + 2 * U * shifted.max(axis=-1, keepdims=True), 300)
    return np.expm1(stray) + gamma(z.shape[-1] + 2 * EXP * 2 + 3) * np.exp(stray), stray, shifted


def _softmax_forward(use: Use) -> Stray:
    return Stray(np.minimum(use.output * share_error(use.x, use.e)[0], 1))


def _softmax_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow dx = y · (dy - s) with s = sum y · dy."""
    y, e_y, size = use.output, use.error, np.abs(dy) + e_dy
    s = (y * dy).sum(axis=-1, keepdims=True)
    e_s = (y * e_dy + e_y * size).sum(axis=-1, keepdims=True)
    e_s = e_s + gamma(y.shape[-1] + 1) * ((y + e_y) * size).sum(axis=-1, keepdims=True)
    difference = np.abs(dy - s)
    off = e_dy + e_s + gamma(1) * (size + np.abs(s) + e_s)
    return Back((y * off + e_y * (difference + off) + gamma(1) * (y + e_y) * (difference + off),))


def _pieces(values: np.ndarray, layer: Maxout) -> np.ndarray:
    return values.reshape(*values.shape[:-1], layer.pieces, -1)


def _maxout_forward(use: Use) -> Stray:
    return Stray(_pieces(use.e, use.layer).max(axis=-2))


def _maxout_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    return Back((maxout_error(use.layer, use.x, use.e, use.choice, e_dy, np.abs(dy) + e_dy),))


def maxout_error(
    layer: Maxout, x: np.ndarray, e: np.ndarray, argmax: np.ndarray, e_dy: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Return every piece that may win by the computed values the whole gradient as its error."""
    values, errors = _pieces(x, layer), _pieces(e, layer)
    won = np.arange(layer.pieces)[:, None] == argmax[..., None, :]
    lead = np.where(won, values - errors, -np.inf).max(axis=-2, keepdims=True)
    slack = np.where(won, errors, 0).max(axis=-2, keepdims=True)
    rival = ~won & ~((errors == 0) & (slack == 0)) & (values + errors >= lead)
    contested = rival.any(axis=-2, keepdims=True)
    size, e_dy = size[..., None, :], e_dy[..., None, :]
    return np.where(won, np.where(contested, size, e_dy), np.where(rival, size, 0)).reshape(x.shape)


def _layer_scale_forward(use: Use) -> Stray:
    weight = np.abs(use.parameters["weight"])
    return Stray(weight * use.e + U * weight * use.sizes[0])


def _layer_scale_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    weight, size, axes = np.abs(use.parameters["weight"]), np.abs(dy) + e_dy, tuple(range(dy.ndim - 1))
    terms = dy.size // dy.shape[-1]
    of_weight = (use.e * size + np.abs(use.x) * e_dy).sum(axis=axes)
    of_weight = of_weight + gamma(terms + 1) * (use.sizes[0] * size).sum(axis=axes)
    return Back((weight * (e_dy + U * size),), {"weight": of_weight})


RULES: dict[type[Layer], Rule] = {
    PReLU: Rule(_prelu_forward, _prelu_backward),
    Softmax: Rule(_softmax_forward, _softmax_backward),
    Maxout: Rule(_maxout_forward, _maxout_backward),
    LayerScale: Rule(_layer_scale_forward, _layer_scale_backward),
}
