"""Linear, ReLU and Dropout."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from finite_differences import agree, gradient
from neocog.nn.layers import Dropout
from neocog.nn.random import dropout_bits, dropout_key
from neocog.reference import activation, linear


@given(st.integers(1, 4), st.integers(1, 7), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_linear_gradients_agree_with_finite_differences(count, inputs, outputs, seed):
    rng = np.random.default_rng(seed)
    x, weight, bias = (rng.standard_normal(shape) for shape in ((count, inputs), (inputs, outputs), outputs))
    dy = rng.standard_normal((count, outputs))
    dx, dw, db = linear.backward(x, weight, dy)
    assert agree(dx, gradient(lambda v: (dy * linear.forward(v, weight, bias)).sum(), x, 1.0))
    assert agree(dw, gradient(lambda v: (dy * linear.forward(x, v, bias)).sum(), weight, 1.0))
    assert agree(db, gradient(lambda v: (dy * linear.forward(x, weight, v)).sum(), bias, 1.0))


def test_linear_is_a_weighted_sum():
    y = linear.forward(np.array([[1.0, 2.0]]), np.array([[1.0, 10.0], [3.0, -1.0]]), np.array([0.5, 0.0]))
    assert y.tolist() == [[7.5, 8.0]]


def test_relu_passes_what_is_above_zero():
    x = np.array([-2.0, -0.0, 0.0, 1e-300, 3.0, np.inf])
    assert activation.relu_forward(x).tolist() == [0, 0, 0, 1e-300, 3, np.inf]
    assert activation.relu_backward(x, np.full(6, 7.0)).tolist() == [0, 0, 0, 7, 7, 7]


def test_relu_keeps_a_nan():
    assert np.isnan(activation.relu_forward(np.array([np.nan]))).all()


def test_a_closed_relu_stops_even_an_infinite_gradient():
    assert activation.relu_backward(np.array([-1.0]), np.array([np.inf])).item() == 0.0


def test_dropout_keeps_what_the_bits_say_and_scales_it():
    layer, shape = Dropout(0.2), (3, 4, 5, 2)
    mask = activation.dropout_mask(shape, layer, seed=9, step=4, stream=2)
    bits = dropout_bits(dropout_key(9, 4, 2), 120)
    for i, (n, row, column, channel) in enumerate(np.ndindex(shape)):
        assert mask[n, row, column, channel] == (int(bits[i]) >= round(0.2 * 2**32))
    x, dy = np.full(shape, 3.0), np.full(shape, 2.0)
    assert np.allclose(activation.dropout_forward(x, mask, layer), np.where(mask, 3 / 0.8, 0))
    assert np.allclose(activation.dropout_backward(mask, dy, layer), np.where(mask, 2 / 0.8, 0))


def test_the_mask_of_an_image_does_not_depend_on_the_images_behind_it():
    layer = Dropout(0.5)
    few = activation.dropout_mask((2, 9), layer, seed=0, step=1, stream=0)
    many = activation.dropout_mask((5, 9), layer, seed=0, step=1, stream=0)
    assert (many[:2] == few).all()


def test_dropout_keeps_the_mean():
    layer = Dropout(0.3)
    mask = activation.dropout_mask((1000, 100), layer, seed=0, step=1, stream=0)
    mean = activation.dropout_forward(np.ones(mask.shape), mask, layer).mean()
    assert abs(mean - 1) < 5 * (0.3 / 0.7 / 100_000) ** 0.5  # five standard deviations
