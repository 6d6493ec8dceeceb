"""Pooling against the windows written out, its rule on ties, and where gradients go."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from conformance_networks import pools
from finite_differences import agree, gradient
from neocog.nn.layers import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from neocog.nn.shapes import ImageShape
from neocog.nn.window import pair
from neocog.reference import pool

seeds = st.integers(0, 2**32 - 1)
images = st.tuples(st.integers(1, 2), st.integers(1, 8), st.integers(1, 8), st.integers(1, 3))


def windows(layer, x):
    """List (position in the output, [(place, row, column)] of the window's pixels inside the image)."""
    walk = layer.window_over(ImageShape(*x.shape[1:]))
    v, h = walk.vertical, walk.horizontal
    assume(v.output > 0 and h.output > 0)
    for p, q in np.ndindex(v.output, h.output):
        cells = []
        for r, s in np.ndindex(v.kernel, h.kernel):
            row, column = p * v.stride + r - v.before, q * h.stride + s - h.before
            if 0 <= row < v.input and 0 <= column < h.input:
                cells.append((r * h.kernel + s, row, column))
        yield (p, q), cells


@given(pools(MaxPool2d, False), images, seeds, st.booleans())
def test_max_takes_the_first_of_the_largest_and_gives_it_the_gradient(layer, shape, seed, ties):
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, shape).astype(np.float64) if ties else rng.standard_normal(shape)
    spots = list(windows(layer, x))
    y, argmax = pool.max_forward(x, layer)
    dy = rng.standard_normal(y.shape)
    dx = np.zeros(shape)
    for (p, q), cells in spots:
        for n, c in np.ndindex(shape[0], shape[3]):
            place, row, column = max(cells, key=lambda cell: x[n, cell[1], cell[2], c])  # max keeps the first
            assert (y[n, p, q, c], argmax[n, p, q, c]) == (x[n, row, column, c], place)
            dx[n, row, column, c] += dy[n, p, q, c]
    assert np.allclose(pool.max_backward(x, argmax, dy, layer), dx, 1e-12, 1e-12)


@given(pools(AvgPool2d, False), images, seeds)
def test_mean_divides_by_the_cells_of_the_image_and_of_the_padding_where_that_counts(layer, shape, seed):
    x = np.random.default_rng(seed).standard_normal(shape)
    spots = list(windows(layer, x))
    y = pool.avg_forward(x, layer)
    v, h = layer.window_over(ImageShape(*shape[1:])).vertical, layer.window_over(ImageShape(*shape[1:])).horizontal
    for (p, q), cells in spots:
        counted = 1
        for at, axis, padding in ((p, v, pair(layer.padding)[0]), (q, h, pair(layer.padding)[1])):
            places = range(at * axis.stride - axis.before, at * axis.stride - axis.before + axis.kernel)
            margin = padding if layer.count_include_pad else 0
            counted *= sum(-margin <= place < axis.input + margin for place in places)
        assert np.allclose(y[:, p, q], sum(x[:, row, column] for _, row, column in cells) / counted)


@given(st.tuples(st.integers(1, 6), st.integers(1, 6)), st.tuples(st.integers(1, 7), st.integers(1, 7)), seeds)
def test_adaptive_means_cover_the_image_and_their_gradients_agree_with_finite_differences(size, sides, seed):
    layer, rng = AdaptiveAvgPool2d(size), np.random.default_rng(seed)
    x = rng.standard_normal((2, *sides, 2))
    y = pool.adaptive_avg_forward(x, layer)
    for p, q in np.ndindex(*size):
        rows = slice(math.floor(p * sides[0] / size[0]), math.ceil((p + 1) * sides[0] / size[0]))
        columns = slice(math.floor(q * sides[1] / size[1]), math.ceil((q + 1) * sides[1] / size[1]))
        assert np.allclose(y[:, p, q], x[:, rows, columns].mean(axis=(1, 2)))
    dy = rng.standard_normal(y.shape)
    dx = pool.adaptive_avg_backward(x, dy, layer)
    assert agree(dx, gradient(lambda v: (dy * pool.adaptive_avg_forward(v, layer)).sum(), x, 1.0))
    assert np.isclose(dx.sum(), dy.sum()), "shares of one add up"


def test_an_adaptive_mean_of_one_pixel_is_a_global_one():
    x = np.random.default_rng(1).standard_normal((2, 5, 4, 3))
    assert np.allclose(pool.adaptive_avg_forward(x, AdaptiveAvgPool2d())[:, 0, 0], x.mean(axis=(1, 2)))


@given(st.sampled_from((MaxPool2d, AvgPool2d)).flatmap(lambda kind: pools(kind, False)), images, seeds)
def test_pytorch_pools_the_same_windows(layer, shape, seed):
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(seed).standard_normal(shape)
    list(windows(layer, x))
    settings = (layer.window, layer.stride, layer.padding)
    if isinstance(layer, MaxPool2d):
        module, mine = torch.nn.MaxPool2d(*settings, ceil_mode=layer.ceil_mode), pool.max_forward(x, layer)[0]
    else:
        module = torch.nn.AvgPool2d(*settings, layer.ceil_mode, layer.count_include_pad)
        mine = pool.avg_forward(x, layer)
    theirs = module(torch.from_numpy(x).permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    assert mine.shape == theirs.shape
    assert np.allclose(mine, theirs, 1e-12, 1e-12)


@given(st.one_of(pools(MaxPool2d, False), pools(AvgPool2d, False)), images, seeds)
def test_gradients_agree_with_finite_differences(layer, shape, seed):
    rng = np.random.default_rng(seed)
    x = rng.permutation(float(np.prod(shape)) * np.linspace(-1, 1, np.prod(shape))).reshape(shape)  # no near ties
    list(windows(layer, x))
    if isinstance(layer, MaxPool2d):
        y, argmax = pool.max_forward(x, layer)
        dy = rng.standard_normal(y.shape)
        dx = pool.max_backward(x, argmax, dy, layer)
        numeric = gradient(lambda v: (dy * pool.max_forward(v, layer)[0]).sum(), x, 1e-3)
    else:
        dy = rng.standard_normal(pool.avg_forward(x, layer).shape)
        dx = pool.avg_backward(x, dy, layer)
        numeric = gradient(lambda v: (dy * pool.avg_forward(v, layer)).sum(), x, 1.0)
    assert agree(dx, numeric)


@given(pools(MaxPool2d, False), images, seeds)
def test_max_pooling_loses_no_gradient_and_makes_none(layer, shape, seed):
    x = np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float64)
    list(windows(layer, x))
    y, argmax = pool.max_forward(x, layer)
    dy = np.random.default_rng(seed + 1).integers(-9, 9, y.shape).astype(np.float64)
    assert pool.max_backward(x, argmax, dy, layer).sum() == dy.sum()


@pytest.mark.parametrize("layer", [AvgPool2d(2), AvgPool2d((1, 4)), AvgPool2d(4, 2)])
def test_mean_pooling_without_padding_loses_no_gradient(layer):
    x = np.zeros((2, 8, 8, 3))
    dy = np.random.default_rng(0).integers(-9, 9, pool.avg_forward(x, layer).shape).astype(np.float64)
    assert pool.avg_backward(x, dy, layer).sum() == dy.sum()


def test_of_equal_values_the_first_in_row_major_order_wins():
    x = np.array([[1.0, 5.0, 5.0], [5.0, 2.0, 5.0], [0.0, 0.0, 0.0]])[None, :, :, None]
    _, argmax = pool.max_forward(x, MaxPool2d(2, 1))
    assert argmax[0, :, :, 0].tolist() == [[1, 0], [0, 1]]


def test_padding_never_wins():
    x = np.full((1, 2, 2, 1), -np.inf)
    x[0, 0, 0, 0] = -7.0
    y, argmax = pool.max_forward(x, MaxPool2d(2, 2, 1))
    assert y[0, :, :, 0].tolist() == [[-7.0, -np.inf], [-np.inf, -np.inf]]
    assert argmax[0, :, :, 0].tolist() == [[3, 2], [1, 0]]


def test_a_nan_wins_and_stays():
    x = np.array([[1.0, np.nan], [5.0, np.inf]])[None, :, :, None]
    y, argmax = pool.max_forward(x, MaxPool2d(2))
    assert np.isnan(y.item())
    assert argmax.item() == 1
