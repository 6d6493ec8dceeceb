"""Local response normalization: y = x / s^β, with s = k + α · (the mean square of some channels beside each)."""

from __future__ import annotations

import numpy as np

from neocog.nn.layers import LocalResponseNorm
from neocog.reference.arrays import Array
from neocog.reference.rule import LayerResult, ReferenceRule, Rules, Sent


def forward(x: Array, layer: LocalResponseNorm) -> Array:
    """Divide each value of x (N, H, W, C)."""
    result: Array = x / base(x, layer) ** layer.beta
    return result


def base(x: Array, layer: LocalResponseNorm) -> Array:
    """Return s for each value of x (N, H, W, C)."""
    return layer.k + layer.alpha / layer.size * around(x * x, *layer.beside(x.shape[-1]))


def backward(x: Array, dy: Array, layer: LocalResponseNorm) -> Array:
    """Return the gradient of x (N, H, W, C).

    x moves its own output, by 1 / s^β, and the s of all outputs that see it: those of the mirrored window.
    """
    s = base(x, layer)
    before, behind = layer.beside(x.shape[-1])
    seen = around(dy * x / s ** (layer.beta + 1.0), behind, before)
    result: Array = dy / s**layer.beta - 2.0 * layer.alpha * layer.beta / layer.size * x * seen
    return result


def around(values: Array, before: int, behind: int) -> Array:
    """Return, for each channel, the sum of those from `before` in front of it to `behind` after it."""
    channels = values.shape[-1]
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(before, behind)])
    total = np.zeros_like(values)
    for first in range(before + behind + 1):
        total += padded[..., first : first + channels]
    return total


RULES: Rules = {
    LocalResponseNorm: ReferenceRule(
        lambda call: LayerResult(forward(call.x, call.layer)),
        lambda call, dy: Sent((backward(call.x, dy, call.layer),)),
    ),
}
