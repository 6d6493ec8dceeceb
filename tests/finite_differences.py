"""Gradients by central differences: the oracle of the oracle."""

from collections.abc import Callable

import numpy as np

STEP = 1e-5  # truncation errs by about STEP^2, rounding by about 1e-16 / STEP: both near 1e-10


def slope(f: Callable[[np.ndarray], float], x: np.ndarray, direction: np.ndarray, step: float = STEP) -> float:
    """Return the derivative of f at x along a direction."""
    return (f(x + step * direction) - f(x - step * direction)) / (2 * step)


def gradient(f: Callable[[np.ndarray], float], x: np.ndarray, step: float = STEP) -> np.ndarray:
    """Return the gradient of f at x, value by value."""
    result = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        direction = np.zeros_like(x)
        direction[place] = 1.0
        result[place] = slope(f, x, direction, step)
    return result


def agree(computed: np.ndarray, expected: np.ndarray, tolerance: float = 1e-6) -> bool:
    """Tell whether two gradients agree, relative to the larger one's greatest value (at least 1e-3)."""
    size = max(1e-3, np.abs(computed).max(initial=0.0), np.abs(expected).max(initial=0.0))
    return computed.shape == expected.shape and bool(np.abs(computed - expected).max(initial=0.0) <= tolerance * size)
