"""Pooling: the largest value, or the mean, of each window, or of the whole image."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neocog.nn.layers import AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool2d, MaxPool2d
from neocog.nn.window import EvenWindow, Window, counts
from neocog.reference.arrays import Array
from neocog.reference.rule import LayerResult, ReferenceRule, Rules, Sent
from neocog.reference.taps import crop, image_shape, pad, taps


def max_forward(x: Array, layer: MaxPool2d) -> tuple[Array, Array]:
    """Keep the largest value of each window, and say where it stood.

    Padding never wins. Of equal values the first in row-major order of the window wins. A NaN wins over every number,
    as in PyTorch.

    Arguments:
        x: (N, H, W, C).
        layer: window, stride and padding.

    Returns:
        y (N, H', W', C), and the argmax, of the same shape: the place of the largest tap in the window, counted in
        row-major order from 0.
    """
    window = layer.window_over(image_shape(x))
    padded = pad(x, window)
    inside = pad(np.ones((1, *x.shape[1:3], 1), bool), window)
    shape = (len(x), window.vertical.output, window.horizontal.output, x.shape[-1])
    best = np.zeros(shape, x.dtype)
    argmax = np.full(shape, -1, np.int32)
    for place, (_, _, where) in enumerate(taps(window)):
        value = padded[where]
        # The last term is true of NaN alone.
        wins = inside[where] & ((argmax < 0) | (value > best) | (value != value))
        best = np.where(wins, value, best)
        argmax = np.where(wins, np.int32(place), argmax)
    return best, argmax


def max_backward(x: Array, argmax: Array, dy: Array, layer: MaxPool2d) -> Array:
    """Return the gradient of x: dy goes to the largest cell of each window, and nowhere else."""
    window = layer.window_over(image_shape(x))
    dx = np.zeros_like(pad(x, window), dtype=dy.dtype)
    for place, (_, _, where) in enumerate(taps(window)):
        dx[where] += np.where(argmax == place, dy, 0)
    return crop(dx, window)


def avg_forward(x: Array, layer: AvgPool2d) -> Array:
    """Take the mean of each window; padding counts as zeros, or not at all.

    Arguments:
        x: (N, H, W, C).
        layer: window, stride, padding, and what counts.

    Returns:
        (N, H', W', C).
    """
    window = layer.window_over(image_shape(x))
    padded = pad(x, window)
    total = np.zeros((len(x), window.vertical.output, window.horizontal.output, x.shape[-1]), x.dtype)
    for _, _, where in taps(window):
        total += padded[where]
    return total / _cells(layer.counted_over(image_shape(x)), x.dtype)


def avg_backward(x: Array, dy: Array, layer: AvgPool2d) -> Array:
    """Return the gradient of x: every tap of a window gets an equal share of dy."""
    window = layer.window_over(image_shape(x))
    dx = np.zeros_like(pad(x, window), dtype=dy.dtype)
    share = dy / _cells(layer.counted_over(image_shape(x)), dy.dtype)
    for _, _, where in taps(window):
        dx[where] += share
    return crop(dx, window)


def adaptive_avg_forward(x: Array, layer: AdaptiveAvgPool2d) -> Array:
    """Take the mean of each part of x (N, H, W, C): (N, P, Q, C)."""
    cuts = layer.counted_over(image_shape(x))
    y = np.zeros((len(x), cuts.vertical.output, cuts.horizontal.output, x.shape[-1]), x.dtype)
    for p, q, rows, columns in _parts(cuts):
        y[:, p, q] = x[:, rows, columns].mean(axis=(1, 2))
    return y


def adaptive_avg_backward(x: Array, dy: Array, layer: AdaptiveAvgPool2d) -> Array:
    """Return the gradient of x: every pixel of a part gets an equal share of dy."""
    dx, cuts = np.zeros_like(x, dtype=dy.dtype), layer.counted_over(image_shape(x))
    share = dy / _cells(cuts, dy.dtype)
    for p, q, rows, columns in _parts(cuts):
        dx[:, rows, columns] += share[:, p, q][:, None, None]
    return dx


def _parts(cuts: EvenWindow) -> Iterator[tuple[int, int, slice, slice]]:
    for p in range(cuts.vertical.output):
        for q in range(cuts.horizontal.output):
            yield p, q, slice(*cuts.vertical.ends(p)), slice(*cuts.horizontal.ends(q))


def _cells(window: Window | EvenWindow, dtype: np.dtype[np.generic]) -> Array:
    """Return how many cells each window has (P, Q, 1)."""
    down, across = counts(window)
    return np.outer(down, across)[..., None].astype(dtype)


def global_avg_backward(x: Array, dy: Array) -> Array:
    """Return the gradient of x (N, H, W, C), whose mean over an image has the gradient dy (N, C)."""
    return np.broadcast_to(dy[:, None, None] / (x.shape[1] * x.shape[2]), x.shape).astype(dy.dtype)


RULES: Rules = {
    MaxPool2d: ReferenceRule(
        lambda call: LayerResult(*max_forward(call.x, call.layer)),
        lambda call, dy: Sent((max_backward(call.x, call.chosen, dy, call.layer),)),
    ),
    AvgPool2d: ReferenceRule(
        lambda call: LayerResult(avg_forward(call.x, call.layer)),
        lambda call, dy: Sent((avg_backward(call.x, dy, call.layer),)),
    ),
    AdaptiveAvgPool2d: ReferenceRule(
        lambda call: LayerResult(adaptive_avg_forward(call.x, call.layer)),
        lambda call, dy: Sent((adaptive_avg_backward(call.x, dy, call.layer),)),
    ),
    GlobalAvgPool2d: ReferenceRule(
        lambda call: LayerResult(call.x.mean(axis=(1, 2))),
        lambda call, dy: Sent((global_avg_backward(call.x, dy),)),
    ),
}
