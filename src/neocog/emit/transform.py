"""Winograd's transforms as straight-line code: constant matrices times vectors of channels."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from neocog.emit.builder import Builder, IrValue
from neocog.plan.winograd import Factors, Matrix


def transform(b: Builder, matrix: Matrix, values: Sequence[IrValue]) -> list[IrValue]:
    """Multiply a constant matrix by a column of vectors.

    Two rows that agree but for the sign of some entries, as those of points ±p do, share their two partial sums.
    """
    results: list[IrValue | None] = [None] * len(matrix)
    for first, row in enumerate(matrix):
        if results[first] is not None:
            continue
        twin = next(
            (
                other
                for other in range(first + 1, len(matrix))
                if results[other] is None
                and sum(map(bool, row)) > 2  # of two terms, each row is one multiply-add
                and all(abs(x) == abs(y) for x, y in zip(row, matrix[other], strict=True))
            ),
            None,
        )
        if twin is None:
            results[first] = _combine(b, row, values)
            continue
        same = [x if x == y else Fraction(0) for x, y in zip(row, matrix[twin], strict=True)]
        turned = [x if x != y else Fraction(0) for x, y in zip(row, matrix[twin], strict=True)]
        even, odd = _combine(b, same, values), _combine(b, turned, values)
        results[first], results[twin] = b.ir.fadd(even, odd), b.ir.fsub(even, odd)
    return results


def _combine(b: Builder, row: Sequence[Fraction], values: Sequence[IrValue]) -> IrValue:
    """Add up values times constants; one that is taken as it is comes first, since it needs no multiplication."""
    total = None
    terms = [(factor, value) for factor, value in zip(row, values, strict=True) if factor]
    for factor, value in sorted(terms, key=lambda term: term[0] != 1):
        if total is None:
            total = value if factor == 1 else b.ir.fmul(value, b.splat(float(factor)))
        elif abs(factor) == 1:
            total = b.ir.fadd(total, value) if factor == 1 else b.ir.fsub(total, value)
        else:
            total = b.multiply_add(value, b.splat(float(factor)), total)
    return b.splat(0.0) if total is None else total


def transform_both(b: Builder, steps: Factors, square: list[list[IrValue]]) -> list[list[IrValue]]:
    """Return matrix · square · matrixᵀ for a square of vectors and a matrix in steps."""

    def apply(values: Sequence[IrValue]) -> list[IrValue]:
        for matrix in steps:
            values = transform(b, matrix, values)
        return list(values)

    columns = [apply(column) for column in zip(*square, strict=True)]
    return [apply(row) for row in zip(*columns, strict=True)]
