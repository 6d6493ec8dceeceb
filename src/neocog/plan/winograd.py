"""Winograd's minimal filtering: a 3 × 3 convolution with fewer multiplications, by tiles of m × m outputs.

An output tile is Aᵀ [ (G g Gᵀ) ∘ (Bᵀ d B) ] A for a filter g and an input patch d. The products ∘, summed over
channels, are one small matrix product for each position of the patch. The gradient of g follows by transposing:
Gᵀ [ Σ (Bᵀ d B) ∘ (A dy Aᵀ) ] G.

Of stride 1, patches are (m + 2) × (m + 2). Of stride 2, they are (2m + 1) × (2m + 1): along each axis, the even pixels
meet the first and the last tap as in a convolution of stride 1 with two taps, for which m + 1 products do, and the odd
pixels the middle tap, m products, with nothing to be saved. The three matrices hold both side by side, so that all
else is the same.

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


@dataclass(frozen=True, slots=True, order=True)
class WinogradTile:
    """How Winograd's algorithm cuts a convolution: `outputs` × `outputs` at a time, of one stride."""

    outputs: int
    stride: int = 1

    @property
    def patch(self) -> int:
        """Side of an input patch, pixels."""
        return self.stride * (self.outputs - 1) + TAPS

    @property
    def step(self) -> int:
        """Pixels of the input from one patch to the next."""
        return self.stride * self.outputs

    @property
    def positions(self) -> int:
        """Number of products of a tile, for each pair of channels."""
        return self.patch**2

    def count(self, height: int, width: int) -> int:
        """Return how many tiles cover an output."""
        return -(-height // self.outputs) * -(-width // self.outputs)


POINTS: dict[WinogradTile, tuple[Fraction, ...]] = {
    WinogradTile(4): tuple(map(Fraction, ("0", "3/4", "-3/4", "3/2", "-3/2"))),
    WinogradTile(5): tuple(map(Fraction, ("0", "1/2", "-1/2", "1", "-1", "5/2"))),
    WinogradTile(2, stride=2): tuple(map(Fraction, ("1", "-1"))),
}


Factors = tuple[Matrix, ...]  # a matrix as a product of sparse ones, the first to be applied first


@dataclass(frozen=True, slots=True)
class Minimal:
    """The matrices for tiles of one kind: input Bᵀ, weights G, output Aᵀ.

    `input_steps` and `output_steps` take Bᵀ and Aᵀ apart into sparse factors, which take fewer operations: values at
    points ±p share what is even and what is odd in p.
    """

    input: Matrix
    weights: Matrix
    output: Matrix
    input_steps: Factors
    output_steps: Factors


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
def minimal(tile: WinogradTile) -> Minimal:
    """Work out the matrices for a kind of tile, exactly."""
    if tile.stride == 1:
        return _toom_cook(POINTS[tile], tile.outputs, TAPS)
    return _beside_odd(_toom_cook(POINTS[tile], tile.outputs, TAPS - 1), tile)


def _toom_cook(points: tuple[Fraction, ...], outputs: int, taps: int) -> Minimal:
    """Work out the matrices of a convolution of stride 1, for points of which infinity is one more."""
    patch = outputs + taps - 1
    rows_in, rows_weights, columns_out = [], [], []
    for point in points:
        others = [other for other in points if other != point]
        scale = math.prod((point - other for other in others), start=Fraction(1))
        rows_in.append(_product(others, patch))
        rows_weights.append(tuple(point**power / scale for power in range(taps)))
        columns_out.append(tuple(point**power for power in range(outputs)))
    rows_in.append(_product(points, patch))
    rows_weights.append((Fraction(0),) * (taps - 1) + (Fraction(1),))
    columns_out.append((Fraction(0),) * (outputs - 1) + (Fraction(1),))
    output = tuple(zip(*columns_out, strict=True))
    steps = _input_steps(points, rows_in), _output_steps(points, output)
    return Minimal(tuple(rows_in), tuple(rows_weights), output, *steps)


def _beside_odd(even: Minimal, tile: WinogradTile) -> Minimal:
    """Add the odd pixels and the middle tap to the matrices of the even pixels and the taps around it."""
    odd = tuple(tuple(_unit(n, tile.outputs)) for n in range(tile.outputs))
    halves = [*range(0, tile.patch, 2), *range(1, tile.patch, 2)]  # the pixels, even ones first

    def interleaved(matrix: Matrix) -> Matrix:
        """Put the columns of a matrix, those of even pixels first, where the pixels lie."""
        return tuple(tuple(row[halves.index(n)] for n in range(tile.patch)) for row in matrix)

    def beside(steps: Factors) -> list[Matrix]:
        return [_diagonal(matrix, odd) for matrix in steps]

    first, *others = beside(even.input_steps)
    *befores, last = even.output_steps
    return Minimal(
        interleaved(_diagonal(even.input, odd)),
        (
            *((first, Fraction(0), last) for first, last in even.weights),
            *[(Fraction(0), Fraction(1), Fraction(0))] * tile.outputs,
        ),
        _joined(even.output, odd),
        (interleaved(first), *others),
        (*beside(tuple(befores)), _joined(last, odd)),
    )


def _diagonal(first: Matrix, second: Matrix) -> Matrix:
    """Return a matrix of two blocks on its diagonal."""
    zeros = [(Fraction(0),) * len(matrix[0]) for matrix in (first, second)]
    return (*(row + zeros[1] for row in first), *(zeros[0] + row for row in second))


def _joined(first: Matrix, second: Matrix) -> Matrix:
    """Return a matrix of two blocks side by side, whose results are added up."""
    return tuple(left + right for left, right in zip(first, second, strict=True))
