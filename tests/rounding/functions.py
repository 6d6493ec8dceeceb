"""Functions of one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from neocog.nn.layers import (
    ELU,
    GELU,
    LAYERS,
    Activation,
    Hardsigmoid,
    Hardswish,
    Layer,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)
from neocog.reference import activation
from rounding.rule import SMOOTH, Back, Rule, Stray, Use


@dataclass(frozen=True)
class Shape:
    """What bounds a function f of one value, and its computation.

    steepest: the largest |f'|.
    bend: the largest |f''| between kinks.
    kinks: where f' jumps → by how much.
    value, slope: sizes of what is rounded on the way to f and f', for |x|; 0 where nothing is.
    """

    steepest: float
    bend: float = 0.0
    kinks: Mapping[float, float] = field(default_factory=dict)
    value: Callable[[np.ndarray], np.ndarray | float] = lambda size: 0.0
    slope: Callable[[np.ndarray], np.ndarray | float] = lambda size: 0.0

    def turn(self, x: np.ndarray, e: np.ndarray) -> np.ndarray:
        """Bound how far f' may be from f'(x) where the argument strays from x by at most e."""
        bent = self.bend * e
        for kink, jump in self.kinks.items():
            bent = bent + np.where((np.abs(x - kink) <= e) & (e > 0), jump, 0.0)
        return np.minimum(bent, 2 * self.steepest)


SHAPES: dict[type[Layer], Callable[[Layer], Shape]] = {
    ReLU: lambda layer: Shape(1, kinks={0: 1}),
    ReLU6: lambda layer: Shape(1, kinks={0: 1, 6: 1}),
    LeakyReLU: lambda layer: Shape(1, 0, {0: 1 - layer.slope}, lambda size: size, lambda size: 1.0),
    ELU: lambda layer: Shape(
        max(1, layer.alpha), layer.alpha, {0: abs(1 - layer.alpha)}, lambda size: layer.alpha, lambda size: layer.alpha
    ),
    SiLU: lambda layer: Shape(1.1, 0.5, {}, lambda size: size, lambda size: 1 + size),
    # The second derivative is largest at 0: 2 φ(0) = 0.798; that of the tanh form hardly differs.
    GELU: lambda layer: Shape(1.13, 0.85, {}, lambda size: 1 + size, lambda size: 1 + size),
    Hardsigmoid: lambda layer: Shape(1 / 6, 0, {-3: 1 / 6, 3: 1 / 6}, lambda size: (size + 3) / 6, lambda size: 1 / 6),
    Hardswish: lambda layer: Shape(
        1.5, 1 / 3, {-3: 0.5, 3: 0.5}, lambda size: size * np.minimum(size + 3, 6) / 6, lambda size: size / 3 + 0.5
    ),
    Sigmoid: lambda layer: Shape(0.25, 0.0963, {}, lambda size: 1.0, lambda size: 1.0),
    Tanh: lambda layer: Shape(1, 0.77, {}, lambda size: 1.0, lambda size: 1.0),
}


def _function_forward(use: Use) -> Stray:
    shape = SHAPES[type(use.layer)](use.layer)
    slope = np.abs(activation.FUNCTIONS[type(use.layer)].slope(use.layer, use.x))
    steepest = np.minimum(slope + shape.turn(use.x, use.e), shape.steepest)
    return Stray(use.e * steepest + SMOOTH * shape.value(use.sizes[0]))


def _function_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    shape = SHAPES[type(use.layer)](use.layer)
    slope = np.abs(activation.FUNCTIONS[type(use.layer)].slope(use.layer, use.x))
    size = np.abs(dy) + e_dy
    return Back((e_dy * slope + size * (shape.turn(use.x, use.e) + SMOOTH * shape.slope(use.sizes[0])),))


RULES: dict[type[Layer], Rule] = {
    **{layer: Rule(_function_forward, _function_backward) for layer in LAYERS if issubclass(layer, Activation)},
}
