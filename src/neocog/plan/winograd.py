"""Winograd's minimal filtering: a 3 × 3 convolution with fewer multiplications, by tiles of m × m outputs.

An output tile is Aᵀ [ (G g Gᵀ) ∘ (Bᵀ d B) ] A for a filter g and an input patch d of (m + 2) × (m + 2). The products ∘,
summed over channels, are one small matrix product for each of the (m + 2)² positions. The gradient of g follows by
transposing: Gᵀ [ Σ (Bᵀ d B) ∘ (A dy Aᵀ) ] G.

Sources: Winograd 1980, Arithmetic complexity of computations; Lavin and Gray 2016, Fast algorithms for convolutional
neural networks. The matrices are those of Toom and Cook for the evaluation points below. Points 0, ±3/4, ±3/2 keep
rounding errors near those of the direct sum; the usual 0, ±1, ±2 are several times worse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

Matrix = tuple[tuple[Fraction, ...], ...]

TAPS = 3
POINTS: dict[int, tuple[Fraction, ...]] = {
    4: tuple(map(Fraction, ("0", "3/4", "-3/4", "3/2", "-3/2"))),
    5: tuple(map(Fraction, ("0", "1/2", "-1/2", "1", "-1", "5/2"))),
}


@dataclass(frozen=True, slots=True)
class Minimal:
    """The matrices for tiles of `outputs` × `outputs`: input Bᵀ, weights G, output Aᵀ."""

    outputs: int
    input: Matrix
    weights: Matrix
    output: Matrix

    @property
    def patch(self) -> int:
        """Side of an input patch, pixels."""
        return self.outputs + TAPS - 1

    @property
    def positions(self) -> int:
        """Number of products of a tile, for each pair of channels."""
        return self.patch**2


def transposed(matrix: Matrix) -> Matrix:
    """Give a matrix with rows and columns swapped."""
    return tuple(zip(*matrix, strict=True))


def _product(roots: Sequence[Fraction], size: int) -> tuple[Fraction, ...]:
    """Give the coefficients of Π (x - root), lowest power first, filled with zeros up to `size`."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *coefficients]
        coefficients = [high - root * low for high, low in zip(shifted, [*coefficients, Fraction(0)], strict=True)]
    return tuple(coefficients + [Fraction(0)] * (size - len(coefficients)))


@cache
def minimal(outputs: int) -> Minimal:
    """Work out the matrices for tiles of `outputs` × `outputs`, exactly."""
    points = POINTS[outputs]
    patch = outputs + TAPS - 1
    rows_in, rows_weights, columns_out = [], [], []
    for point in points:
        others = [other for other in points if other != point]
        scale = math.prod((point - other for other in others), start=Fraction(1))
        rows_in.append(_product(others, patch))
        rows_weights.append(tuple(point**power / scale for power in range(TAPS)))
        columns_out.append(tuple(point**power for power in range(outputs)))
    rows_in.append(_product(points, patch))
    rows_weights.append((Fraction(0),) * (TAPS - 1) + (Fraction(1),))
    columns_out.append((Fraction(0),) * (outputs - 1) + (Fraction(1),))
    return Minimal(outputs, tuple(rows_in), tuple(rows_weights), tuple(zip(*columns_out, strict=True)))
