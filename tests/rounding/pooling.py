"""Poolings: means, and the largest of windows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from neocog.nn.layers import AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool2d, Layer, MaxPool2d
from neocog.nn.window import counts
from neocog.reference import pool
from neocog.reference.taps import image_shape, pad, taps
from rounding.rule import Back, Rule, Stray, Use, gamma


def _average_forward(use: Use) -> Stray:
    """A mean of n values takes n - 1 roundings, one for 1 / n, and one for the product."""
    layer, means = use.layer, AVERAGES[type(use.layer)][0]
    return Stray(means(use.e, layer) + gamma(_most_cells(use) + 2) * means(use.sizes[0], layer))


def _average_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Each share takes two roundings, and so many shares meet in a pixel as windows do: no more than one has cells."""
    layer, shares = use.layer, AVERAGES[type(use.layer)][1]
    rounding = gamma(3 if isinstance(layer, GlobalAvgPool2d) else max(_most_cells(use), _most_windows(use)) + 2)
    return Back((shares(use.x, e_dy, layer) + rounding * shares(use.x, np.abs(dy) + e_dy, layer),))


AVERAGES: dict[type[Layer], tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    AvgPool2d: (pool.avg_forward, pool.avg_backward),
    AdaptiveAvgPool2d: (pool.adaptive_avg_forward, pool.adaptive_avg_backward),
    GlobalAvgPool2d: (lambda x, layer: x.mean(axis=(1, 2)), lambda x, dy, layer: pool.global_avg_backward(x, dy)),
}
"""Means, and how a gradient is shared out."""


def _most_cells(use: Use) -> int:
    rows, columns = counts(use.layer.counted_over(use.node.input))
    return max(rows) * max(columns)


def _most_windows(use: Use) -> int:
    """Return in how many windows of an adaptive average a pixel may lie: outputs may be many for few pixels."""
    if not isinstance(use.layer, AdaptiveAvgPool2d):
        return 0
    image, out = use.node.input, use.node.output
    return (-(-out.height // image.height) + 1) * (-(-out.width // image.width) + 1)


def argmax_error(
    layer: MaxPool2d, x: np.ndarray, e: np.ndarray, argmax: np.ndarray, e_dy: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Return every tap that may win by the computed values the whole gradient as its error."""
    window = layer.window_over(image_shape(x))
    values, errors = pad(x, window), pad(e, window)
    inside = pad(np.ones_like(x, bool), window)
    lead, slack = np.zeros(argmax.shape), np.zeros(argmax.shape)
    for place, (_, _, where) in enumerate(taps(window)):
        lead = np.where(argmax == place, values[where] - errors[where], lead)
        slack = np.where(argmax == place, errors[where], slack)
    rivals = []
    for place, (_, _, where) in enumerate(taps(window)):
        exact = (errors[where] == 0) & (slack == 0)  # then even a tie is decided, by the order
        rivals.append(inside[where] & (argmax != place) & ~exact & (values[where] + errors[where] >= lead))
    contested = np.any(rivals, axis=0)
    error, total = np.zeros(values.shape), np.zeros(values.shape)
    for place, (_, _, where) in enumerate(taps(window)):
        error[where] += np.where(argmax == place, np.where(contested, size, e_dy), np.where(rivals[place], size, 0))
        total[where] += np.where((argmax == place) | rivals[place], size, 0)
    rows, columns = window.vertical, window.horizontal
    inner = np.s_[:, rows.before : rows.before + rows.input, columns.before : columns.before + columns.input]
    return error[inner] + gamma(window.cells) * total[inner]  # overlapping windows are summed


RULES: dict[type[Layer], Rule] = {
    **dict.fromkeys(AVERAGES, Rule(_average_forward, _average_backward)),
    MaxPool2d: Rule(
        lambda use: Stray(pool.max_forward(use.e, use.layer)[0]),
        lambda use, dy, e_dy: Back((argmax_error(use.layer, use.x, use.e, use.choice, e_dy, np.abs(dy) + e_dy),)),
    ),
}
