"""Enlarging by interpolation: a matrix for the rows, and one for the columns."""

from __future__ import annotations

import numpy as np

from neocog.nn.layers import Upsample
from neocog.nn.window import pair
from neocog.reference.arrays import Array
from neocog.reference.rule import Call, LayerResult, ReferenceRule, Rules, Sent


def shares(inputs: int, scale: int, mode: str) -> Array:
    """Return how much each pixel of a line counts for each of the enlarged one: (inputs · scale, inputs).

    >>> shares(2, 2, "bilinear")
    array([[1.  , 0.  ],
           [0.75, 0.25],
           [0.25, 0.75],
           [0.  , 1.  ]])
    """
    outputs = np.arange(inputs * scale)
    if mode == "nearest":
        places = (outputs // scale).astype(np.float64)
    else:
        places = np.clip((outputs + 0.5) / scale - 0.5, 0, inputs - 1)
    return np.maximum(0.0, 1.0 - np.abs(places[:, None] - np.arange(inputs)))


def forward(x: Array, layer: Upsample) -> Array:
    """Enlarge images (N, H, W, C)."""
    rows, columns = _matrices(x, layer)
    y: Array = np.einsum("pi,qj,nijc->npqc", rows, columns, x, optimize=True)
    return y


def backward(x: Array, dy: Array, layer: Upsample) -> Array:
    """Return the gradient of x (N, H, W, C), whose enlarged image has the gradient dy."""
    rows, columns = _matrices(x, layer)
    dx: Array = np.einsum("pi,qj,npqc->nijc", rows, columns, dy, optimize=True)
    return dx


def _matrices(x: Array, layer: Upsample) -> tuple[Array, Array]:
    (height, width), (rows, columns) = x.shape[1:3], pair(layer.scale)
    return shares(height, rows, layer.mode).astype(x.dtype), shares(width, columns, layer.mode).astype(x.dtype)


def _sent(call: Call[Upsample], dy: Array) -> Sent:
    return Sent((backward(call.x, dy, call.layer),))


RULES: Rules = {Upsample: ReferenceRule(lambda call: LayerResult(forward(call.x, call.layer)), _sent)}
