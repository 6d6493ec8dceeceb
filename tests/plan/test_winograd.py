"""Winograd's matrices are exact, and chosen where they pay."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neocog.nn.layers import Conv2d
from neocog.nn.shapes import ImageShape
from neocog.plan.algorithm import choose_tile
from neocog.plan.winograd import POINTS, TAPS, Factors, Matrix, WinogradTile, minimal, transposed, transposed_steps
from neocog.target.processor import Target

WIDE = Target("x86_64-unknown-linux-gnu", "skylake-avx512", "", 16, 32, True, 48 << 10, 2 << 20)
numbers = st.fractions(-4, 4, max_denominator=8)


def multiply(left: Matrix, right: Matrix) -> Matrix:
    return tuple(
        tuple(
            sum((x * y for x, y in zip(row, column, strict=True)), start=Fraction(0))
            for column in zip(*right, strict=True)
        )
        for row in left
    )


def multiplied(steps: Factors) -> Matrix:
    """Multiply the factors of a matrix out; the first is applied first."""
    product = steps[0]
    for matrix in steps[1:]:
        product = multiply(matrix, product)
    return product


def both(matrix: Matrix, square: Matrix) -> Matrix:
    return multiply(multiply(matrix, square), transposed(matrix))


def hadamard(left: Matrix, right: Matrix) -> Matrix:
    return tuple(tuple(x * y for x, y in zip(*rows, strict=True)) for rows in zip(left, right, strict=True))


def squares(side: int) -> st.SearchStrategy[Matrix]:
    row = st.tuples(*[numbers] * side)
    return st.tuples(*[row] * side)


@pytest.mark.parametrize("tile", POINTS)
@given(data=st.data())
def test_a_tile_equals_the_direct_sum_exactly(tile: WinogradTile, data: st.DataObject) -> None:
    algorithm = minimal(tile)
    patch, taps = data.draw(squares(tile.patch)), data.draw(squares(TAPS))
    got = both(algorithm.output, hadamard(both(algorithm.weights, taps), both(algorithm.input, patch)))
    for i in range(tile.outputs):
        for j in range(tile.outputs):
            want = sum(
                taps[r][s] * patch[tile.stride * i + r][tile.stride * j + s] for r in range(TAPS) for s in range(TAPS)
            )
            assert got[i][j] == want


@pytest.mark.parametrize("tile", POINTS)
@given(data=st.data())
def test_the_gradient_of_a_filter_equals_the_direct_sum_exactly(tile: WinogradTile, data: st.DataObject) -> None:
    algorithm = minimal(tile)
    patch, dy = data.draw(squares(tile.patch)), data.draw(squares(tile.outputs))
    product = hadamard(both(algorithm.input, patch), both(transposed(algorithm.output), dy))
    got = both(transposed(algorithm.weights), product)
    for r in range(TAPS):
        for s in range(TAPS):
            want = sum(
                dy[i][j] * patch[tile.stride * i + r][tile.stride * j + s]
                for i in range(tile.outputs)
                for j in range(tile.outputs)
            )
            assert got[r][s] == want


@pytest.mark.parametrize("tile", POINTS)
@given(data=st.data())
def test_the_gradient_of_the_input_equals_the_direct_sum_exactly(tile: WinogradTile, data: st.DataObject) -> None:
    algorithm = minimal(tile)
    taps, dy = data.draw(squares(TAPS)), data.draw(squares(tile.outputs))
    product = hadamard(both(algorithm.weights, taps), both(transposed(algorithm.output), dy))
    got = both(transposed(algorithm.input), product)
    for i in range(tile.patch):
        for j in range(tile.patch):
            down, across = (
                [(n, r) for n in range(tile.outputs) for r in range(TAPS) if n * tile.stride + r == at] for at in (i, j)
            )
            assert got[i][j] == sum(taps[r][s] * dy[n][m] for n, r in down for m, s in across)


@pytest.mark.parametrize("tile", POINTS)
def test_the_steps_of_a_transform_multiply_to_its_matrix_and_take_fewer_operations(tile: WinogradTile) -> None:
    algorithm = minimal(tile)
    for steps, matrix in ((algorithm.input_steps, algorithm.input), (algorithm.output_steps, algorithm.output)):
        assert multiplied(steps) == matrix
        assert multiplied(transposed_steps(steps)) == transposed(matrix)
        assert sum(map(operations, steps)) < (0.8 if tile.outputs > 2 else 1.01) * operations(matrix)


def operations(matrix: Matrix) -> int:
    """Count the operations of a matrix times a vector: one for each entry, but for a 1 that a row begins with."""
    return sum(sum(map(bool, row)) - (1 in row) for row in matrix)


def choose(layer: Conv2d, shape: tuple[int, int, int], algorithm: str = "auto") -> WinogradTile | None:
    window = layer.window_over(ImageShape(*shape))
    return choose_tile(window, shape[2], layer.channels, algorithm, WIDE)  # type: ignore[arg-type]


def test_the_tile_with_the_fewest_products_is_chosen() -> None:
    assert choose(Conv2d(64, 3), (12, 12, 32)) == WinogradTile(5)  # 10 x 10 outputs: four tiles of 49 beat nine of 36
    assert choose(Conv2d(64, 3, padding=1), (28, 28, 64)) == WinogradTile(
        4
    )  # 49 tiles of 36 take as many products as 36 of 49
    assert choose(Conv2d(64, 3, padding=1), (24, 24, 64)) == WinogradTile(
        4
    )  # 25 of 49 save too little for the accuracy they cost


def test_the_direct_sum_stays_where_winograd_does_not_pay_or_apply() -> None:
    assert choose(Conv2d(64, 3), (28, 28, 1)) is None  # few channels
    assert choose(Conv2d(128, 3, padding=1), (14, 14, 128)) is not None
    assert choose(Conv2d(64, 3), (4, 4, 64)) is None  # 2 x 2 outputs fill a small part of a tile
    for layer in (Conv2d(64, 5), Conv2d(64, (3, 1)), Conv2d(64, 3, stride=3), Conv2d(64, 3, dilation=2)):
        assert choose(layer, (28, 28, 64)) is None
        assert choose(layer, (28, 28, 64), "winograd") is None


def test_a_convolution_of_stride_two_has_tiles_of_its_own_where_few_reach_past_the_image() -> None:
    assert choose(Conv2d(64, 3, stride=2, padding=1), (28, 28, 64)) == WinogradTile(2, stride=2)
    assert (
        choose(Conv2d(64, 3, stride=2, padding=1), (14, 14, 64)) is None
    )  # 7 x 7 outputs: 400 products in place of 441
    assert choose(Conv2d(64, 3, stride=(2, 1), padding=1), (28, 28, 64)) is None


def test_the_choice_can_be_overridden() -> None:
    assert choose(Conv2d(64, 3, padding=1), (28, 28, 64), "direct") is None
    assert choose(Conv2d(1, 3), (28, 28, 1), "winograd") is not None
