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


Factors = tuple[Matrix, ...]  # a matrix as a product of sparse ones, the first to be applied first


@dataclass(frozen=True, slots=True)
class Minimal:
    """The matrices for tiles of `outputs` × `outputs`: input Bᵀ, weights G, output Aᵀ.

    `input_steps` and `output_steps` take Bᵀ and Aᵀ apart into sparse factors, which take fewer operations: values at
    points ±p share what is even and what is odd in p.
    """

    outputs: int
    input: Matrix
    weights: Matrix
    output: Matrix
    input_steps: Factors
    output_steps: Factors

    @property
    def patch(self) -> int:
        """Side of an input patch, pixels."""
        return self.outputs + TAPS - 1

    @property
    def positions(self) -> int:
        """Number of products of a tile, for each pair of channels."""
        return self.patch**2


def transposed(matrix: Matrix) -> Matrix:
    """Return a matrix with rows and columns swapped."""
    return tuple(zip(*matrix, strict=True))


def transposed_steps(steps: Factors) -> Factors:
    """Return the transposed product."""
    return tuple(transposed(matrix) for matrix in reversed(steps))


def _pairs(points: Sequence[Fraction]) -> list[tuple[int, int]]:
    """Find the points p > 0 whose opposite is a point too, as places of p and -p."""
    return [(points.index(p), points.index(-p)) for p in points if p > 0 and -p in points]


def _unit(place: int, size: int) -> list[Fraction]:
    return [Fraction(int(n == place)) for n in range(size)]


def _input_steps(points: tuple[Fraction, ...], rows: Sequence[tuple[Fraction, ...]]) -> Factors:
    """Take Bᵀ apart. The row of a point is the product of x - q over all other points q, lowest power first.

    First, the points without an opposite, 0 aside, are multiplied into what all other rows share; then each pair ±p
    gets its even part and its odd part divided by p; then it is put together.
    """
    pairs, size = _pairs(points), len(rows)
    paired = {place for pair in pairs for place in pair}
    alone = [n for n, p in enumerate(points) if p and n not in paired]
    steps: list[Matrix] = []
    width = size
    if alone:
        factor = _product([points[n] for n in alone], len(alone) + 1)
        width = size - len(alone)
        shared = [[Fraction(0)] * n + list(factor) + [Fraction(0)] * (width - 1 - n) for n in range(width)]
        steps.append((*map(tuple, shared), *(rows[n] for n in alone)))
    total = width + len(alone)
    others = [p for n, p in enumerate(points) if n not in alone]
    middle: list[list[Fraction]] = [[] for _ in range(size)]
    last = [_unit(n, size) for n in range(size)]
    for position, n in enumerate(alone):
        middle[n] = _unit(width + position, total)
    for n, p in enumerate(points):
        if n not in alone and n not in paired:
            middle[n] = list(_product([q for q in others if q != p], total))
    middle[size - 1] = list(_product(others, total))
    for first, second in pairs:
        p = points[first]
        rest = _product([q for q in others if q not in (p, -p)], total)
        middle[first] = [Fraction(0), *rest[:-1]]  # x · rest: even in p
        middle[second] = list(rest)  # rest, which p multiplies: odd
        last[first], last[second] = _unit(first, size), _unit(first, size)
        last[first][second], last[second][second] = p, -p
    return (*steps, tuple(map(tuple, middle)), tuple(map(tuple, last)))


def _output_steps(points: tuple[Fraction, ...], matrix: Matrix) -> Factors:
    """Take Aᵀ apart: sums and differences of the values at ±p first, which even and odd powers then multiply."""
    size = len(matrix[0])
    first = [_unit(n, size) for n in range(size)]
    last = [list(row) for row in matrix]
    for plus, minus in _pairs(points):
        first[plus][minus], first[minus][plus], first[minus][minus] = Fraction(1), Fraction(1), Fraction(-1)
        for power, row in enumerate(last):
            row[minus if power % 2 == 0 else plus] = Fraction(0)
            if power % 2:
                row[minus] = points[plus] ** power
    return tuple(map(tuple, first)), tuple(map(tuple, last))


def _product(roots: Sequence[Fraction], size: int) -> tuple[Fraction, ...]:
    """Return the coefficients of Π (x - root), lowest power first, filled with zeros up to `size`."""
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
    output = tuple(zip(*columns_out, strict=True))
    steps = _input_steps(points, rows_in), _output_steps(points, output)
    return Minimal(outputs, tuple(rows_in), tuple(rows_weights), output, *steps)
