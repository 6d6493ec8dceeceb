"""Fit the polynomials of neocog/emit/vector_math.py and print their coefficients, lowest power first.

Each is the polynomial whose largest weighted error on an interval is least, found by Lawson's iteration: least squares
on a dense grid, again and again, with more weight where the error is large. The weight turns the polynomial's error
into that of the function which is made of it.

    python tools/fit_polynomials.py
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
ROUNDS = 400


def fit(
    function: Callable[[float], float], weight: Callable[[float], float], ends: tuple[float, float], degree: int
) -> Values:
    """Return the coefficients of a polynomial near a function on an interval, lowest power first."""
    low, high = ends
    grid = (low + high) / 2 + (high - low) / 2 * np.cos(np.linspace(0, math.pi, 4001))
    values, weights = (np.array([f(float(x)) for x in grid]) for f in (function, weight))
    basis = np.polynomial.chebyshev.chebvander((2 * grid - low - high) / (high - low), degree)
    importance = np.ones_like(grid)
    best, least = np.zeros(degree + 1), math.inf
    for _ in range(ROUNDS):
        scale = np.sqrt(importance) * weights
        found = np.linalg.lstsq(basis * scale[:, None], values * scale, rcond=None)[0]
        error = np.abs(basis @ found - values) * weights
        if error.max() < least:
            best, least = found, float(error.max())
        importance *= error / error.max()
        importance /= importance.max()
    print(f"  largest error 2^{math.log2(least):.1f}")
    series = np.polynomial.Chebyshev(best, domain=[low, high]).convert(kind=np.polynomial.Polynomial)
    return np.asarray(series.coef)


def exponential(x: float) -> float:
    """Return (exp(x) - 1 - x) / x²."""
    return sum(x**n / math.factorial(n + 2) for n in range(16))


def logarithm(x: float) -> float:
    """Return (log(1 + x) - x + x²/2) / x³."""
    if abs(x) < 0.1:
        return sum((-x) ** n / (n + 3) for n in range(24))
    return (math.log1p(x) - x + x * x / 2) / x**3


def error_exponent(x: float) -> float:
    """Return -log(1 - erf(x)) / x."""
    if x < 1e-9:
        return 2 / math.sqrt(math.pi)
    return (-math.log1p(-math.erf(x)) if x < 1 else -math.log(math.erfc(x))) / x


def main() -> None:
    """Print all coefficients."""
    half = math.log(2) / 2 * 1.0005  # the exponent's integer part is found in float32
    root = math.sqrt(0.5)
    polynomials = {
        "EXP": ((exponential, lambda x: x * x / math.exp(x)), (-half, half), 4),
        "LOG": ((logarithm, lambda x: abs(x**3 / math.log1p(x)) if x else 0.0), (root - 1, 2 * root - 1), 7),
        "ERF": (
            (error_exponent, lambda x: math.erfc(x) * (x / math.erf(x) if x > 1e-9 else math.sqrt(math.pi) / 2)),
            (0.0, 4.0),
            8,
        ),
    }
    for name, ((function, weight), ends, degree) in polynomials.items():
        print(f"{name} on [{ends[0]:.4f}, {ends[1]:.4f}]")
        for coefficient in fit(function, weight, ends, degree):
            print(f"    {float(np.float32(coefficient))!r},")


if __name__ == "__main__":
    main()
