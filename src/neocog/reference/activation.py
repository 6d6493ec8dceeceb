"""Functions of one value, each beside its derivative. A new one is one entry of FUNCTIONS."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neocog.nn.layer import Layer
from neocog.nn.layers import (
    ELU,
    GELU,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)
from neocog.reference.arrays import Array
from neocog.reference.rule import LayerResult, ReferenceRule, Rules, Sent

ROOT = math.sqrt(2 / math.pi)
CUBE = 0.044715  # the constants of the tanh form of GELU

_erfc = np.vectorize(math.erfc, otypes=[np.float64])


@dataclass(frozen=True, slots=True)
class Function:
    """A function of one value.

    value: from the layer's settings and x to f(x).
    slope: to f'(x); at a kink, the one that PyTorch takes.
    """

    value: Callable[[Any, Array], Array]
    slope: Callable[[Any, Array], Array]


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + exp(-x)), without overflow, and without loss where it is near 0."""
    small = np.exp(-np.abs(x))
    result: Array = np.where(x >= 0, 1, small) / (1 + small)
    return result


def sigmoid_slope(x: Array) -> Array:
    """Return sigmoid(x) · (1 - sigmoid(x)), without cancellation where one of them is near 1."""
    result: Array = sigmoid(x) * sigmoid(-x)
    return result


def normal_share(x: Array) -> Array:
    """Return Φ(x), the distribution function of the normal distribution, without cancellation on either side."""
    result: Array = (_erfc(-x / math.sqrt(2)) / 2).astype(x.dtype)
    return result


def normal_density(x: Array) -> Array:
    """Return φ(x) = Φ'(x)."""
    result: Array = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return result


def _gelu(layer: GELU, x: Array) -> Array:
    if layer.approximate == "tanh":
        # (1 + tanh(u)) / 2 is sigmoid(2 u), which loses nothing where tanh(u) is near -1.
        return np.multiply(x, sigmoid(2 * ROOT * (x + CUBE * x**3)))
    return np.multiply(x, normal_share(x))


def _gelu_slope(layer: GELU, x: Array) -> Array:
    share, density = normal_share(x), normal_density(x)
    if layer.approximate == "tanh":
        u = 2 * ROOT * (x + CUBE * x**3)
        share, density = sigmoid(u), sigmoid_slope(u) * (2 * ROOT * (1 + 3 * CUBE * x * x))
    result: Array = share + x * density
    return result


def _hardswish_slope(layer: Hardswish, x: Array) -> Array:
    result: Array = np.where(x >= 3, 1, np.where(x > -3, x / 3 + 0.5, 0)).astype(x.dtype)
    return result


def _between(x: Array, low: float, high: float, slope: float) -> Array:
    return np.where((x > low) & (x < high), slope, 0).astype(x.dtype)


FUNCTIONS: dict[type[Layer], Function] = {
    ReLU: Function(
        lambda layer, x: np.maximum(x, 0),
        lambda layer, x: np.where(x > 0, 1, 0).astype(x.dtype),
    ),
    ReLU6: Function(
        lambda layer, x: np.clip(x, 0, 6),
        lambda layer, x: _between(x, 0, 6, 1),
    ),
    LeakyReLU: Function(
        lambda layer, x: np.where(x > 0, x, layer.slope * x),
        lambda layer, x: np.where(x > 0, 1, layer.slope).astype(x.dtype),
    ),
    ELU: Function(
        lambda layer, x: np.where(x > 0, x, layer.alpha * np.expm1(np.minimum(x, 0))),
        lambda layer, x: np.where(x > 0, 1, layer.alpha * np.exp(np.minimum(x, 0))),
    ),
    SiLU: Function(
        lambda layer, x: x * sigmoid(x),
        lambda layer, x: sigmoid(x) * (1 + x * sigmoid(-x)),
    ),
    GELU: Function(_gelu, _gelu_slope),
    Hardsigmoid: Function(
        lambda layer, x: np.clip(x + 3, 0, 6) / 6,
        lambda layer, x: _between(x, -3, 3, 1 / 6),
    ),
    Hardswish: Function(
        lambda layer, x: x * (np.clip(x + 3, 0, 6) / 6),
        _hardswish_slope,
    ),
    Sigmoid: Function(
        lambda layer, x: sigmoid(x),
        lambda layer, x: sigmoid_slope(x),
    ),
    Tanh: Function(
        lambda layer, x: np.tanh(x),
        lambda layer, x: 4 * sigmoid_slope(2 * x),
    ),
}


def forward(layer: Layer, x: Array) -> Array:
    """Return f(x), value by value; a NaN stays.

    >>> forward(ReLU6(), np.array([-1.0, 2.0, 7.0]))
    array([0., 2., 6.])
    """
    return FUNCTIONS[type(layer)].value(layer, x)


def backward(layer: Layer, x: Array, dy: Array) -> Array:
    """Return the gradient of x: f'(x) · dy. Where the slope is 0 it stops even an infinite one."""
    slope = FUNCTIONS[type(layer)].slope(layer, x)
    with np.errstate(invalid="ignore"):  # 0 · infinity, which is not looked at
        return np.where(slope == 0, 0, slope * dy)


_RULE = ReferenceRule(
    lambda call: LayerResult(forward(call.layer, call.x)),
    lambda call, dy: Sent((backward(call.layer, call.x, dy),)),
)

RULES: Rules = dict.fromkeys(FUNCTIONS, _RULE)
