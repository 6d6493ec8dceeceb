"""Convolution against the sum over every pixel, written out; its gradients against finite differences."""

from dataclasses import replace

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from conformance_networks import convs
from finite_differences import agree, gradient
from neocog.nn.layers import Conv2d
from neocog.nn.shapes import ImageShape
from neocog.reference import conv

seeds = st.integers(0, 2**32 - 1)
counts = st.integers(1, 3)
images = st.tuples(st.integers(1, 2), st.integers(1, 7), st.integers(1, 7), st.integers(1, 3))


def written_out(x, weight, layer, bias):
    """Add up every product by the definition, padding by padding pixel that is not there."""
    n, height, width, _ = x.shape
    window = layer.window_over(ImageShape(*x.shape[1:]))
    v, h = window.vertical, window.horizontal
    y = np.zeros((n, v.output, h.output, weight.shape[-1])) + bias
    of_group = layer.channels // layer.groups
    for image, p, q, k, r, s, c in np.ndindex(*y.shape, *weight.shape[:3]):
        row, column = p * v.stride + r * v.dilation - v.before, q * h.stride + s * h.dilation - h.before
        if 0 <= row < height and 0 <= column < width:
            y[image, p, q, k] += x[image, row, column, k // of_group * weight.shape[2] + c] * weight[r, s, c, k]
    return y


def draw_case(layer, shape, seed):
    window = layer.window_over(ImageShape(*shape[1:]))
    assume(window.vertical.output > 0 and window.horizontal.output > 0)
    assume(window.cells * shape[-1] * layer.channels <= 100 and np.prod(shape) <= 60)
    rng = np.random.default_rng(seed)
    x, weight = rng.standard_normal(shape), rng.standard_normal(layer.variables(ImageShape(*shape[1:]))[0].shape)
    return x, weight, rng.standard_normal(layer.channels), rng


@given(convs(), images, seeds)
def test_forward_is_the_sum_written_out(layer, shape, seed):
    x, weight, bias, _ = draw_case(layer, shape, seed)
    assert np.allclose(conv.forward(x, weight, layer, bias), written_out(x, weight, layer, bias), 1e-12, 1e-12)


@given(convs(), images, seeds)
def test_gradients_agree_with_finite_differences(layer, shape, seed):
    x, weight, bias, rng = draw_case(layer, shape, seed)
    dy = rng.standard_normal(conv.forward(x, weight, layer, bias).shape)
    dx, dw, db = conv.backward(x, weight, dy, layer)
    # Linear in each argument, so a large step is exact but for rounding.
    assert agree(dx, gradient(lambda v: (dy * conv.forward(v, weight, layer, bias)).sum(), x, 1.0))
    assert agree(dw, gradient(lambda v: (dy * conv.forward(x, v, layer, bias)).sum(), weight, 1.0))
    assert agree(db, gradient(lambda v: (dy * conv.forward(x, weight, layer, v)).sum(), bias, 1.0))


@given(convs(), images, counts, counts, seeds)
def test_groups_are_sums_over_their_own_channels(layer, shape, groups, filters, seed):
    layer = replace(layer, channels=groups * filters, groups=groups)
    shape = (*shape[:3], groups * shape[3])
    x, weight, bias, rng = draw_case(layer, shape, seed)
    y = conv.forward(x, weight, layer, bias)
    assert np.allclose(y, written_out(x, weight, layer, bias), 1e-12, 1e-12)
    dy = rng.standard_normal(y.shape)
    dx, dw, db = conv.backward(x, weight, dy, layer)
    assert agree(dx, gradient(lambda v: (dy * conv.forward(v, weight, layer, bias)).sum(), x, 1.0))
    assert agree(dw, gradient(lambda v: (dy * conv.forward(x, v, layer, bias)).sum(), weight, 1.0))
    assert np.array_equal(db, dy.sum(axis=(0, 1, 2)))


def test_a_filter_is_not_flipped():
    x = np.zeros((1, 3, 3, 1))
    x[0, 0, 2, 0] = 1.0
    weight = np.arange(9.0).reshape(3, 3, 1, 1)
    assert conv.forward(x, weight, Conv2d(1, 3)).item() == weight[0, 2, 0, 0]


def test_a_dense_matrix_gives_the_same_as_the_filter():
    layer, shape = Conv2d(2, 3, stride=2, padding=1), (1, 5, 4, 2)
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal(shape), rng.standard_normal((3, 3, 2, 2))
    units = np.eye(40).reshape(40, *shape[1:])
    matrix = conv.forward(units, weight, layer).reshape(40, -1)
    assert np.allclose(x.reshape(1, 40) @ matrix, conv.forward(x, weight, layer).reshape(1, -1))


def test_the_dtype_of_the_input_is_kept():
    x, weight = np.ones((1, 3, 3, 1), np.float32), np.ones((2, 2, 1, 1), np.float32)
    y = conv.forward(x, weight, Conv2d(1, 2), np.ones(1, np.float32))
    assert y.dtype == np.float32
    assert all(value.dtype == np.float32 for value in conv.backward(x, weight, y, Conv2d(1, 2)))


def test_no_images_give_no_maps():
    assert conv.forward(np.ones((0, 3, 3, 1)), np.ones((2, 2, 1, 5)), Conv2d(5, 2)).shape == (0, 2, 2, 5)
