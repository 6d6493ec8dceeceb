"""Pooling: the largest value, or the mean, of each window, or of the whole image."""

from __future__ import annotations

import numpy as np

from neocog.nn.layers import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from neocog.reference.arrays import Array
from neocog.reference.rule import Given, Rule, Rules, Sent
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
    """Take the mean of each window; padding counts as zeros.

    Arguments:
        x: (N, H, W, C).
        layer: window, stride and padding.

    Returns:
        (N, H', W', C).
    """
    window = layer.window_over(image_shape(x))
    padded = pad(x, window)
    total = np.zeros((len(x), window.vertical.output, window.horizontal.output, x.shape[-1]), x.dtype)
    for _, _, where in taps(window):
        total += padded[where]
    return total / window.cells


def avg_backward(x: Array, dy: Array, layer: AvgPool2d) -> Array:
    """Return the gradient of x: every tap of a window gets an equal share of dy."""
    window = layer.window_over(image_shape(x))
    dx = np.zeros_like(pad(x, window), dtype=dy.dtype)
    for _, _, where in taps(window):
        dx[where] += dy / window.cells
    return crop(dx, window)


def global_avg_backward(x: Array, dy: Array) -> Array:
    """Return the gradient of x (N, H, W, C), whose mean over an image has the gradient dy (N, C)."""
    return np.broadcast_to(dy[:, None, None] / (x.shape[1] * x.shape[2]), x.shape).astype(dy.dtype)


RULES: Rules = {
    MaxPool2d: Rule(
        lambda call: Given(*max_forward(call.x, call.layer)),
        lambda call, dy: Sent((max_backward(call.x, call.chosen, dy, call.layer),)),
    ),
    AvgPool2d: Rule(
        lambda call: Given(avg_forward(call.x, call.layer)),
        lambda call, dy: Sent((avg_backward(call.x, dy, call.layer),)),
    ),
    GlobalAvgPool2d: Rule(
        lambda call: Given(call.x.mean(axis=(1, 2))),
        lambda call, dy: Sent((global_avg_backward(call.x, dy),)),
    ),
}
