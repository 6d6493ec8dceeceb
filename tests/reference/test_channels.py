"""PReLU, LayerScale, Softmax and Maxout."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finite_differences import agree, gradient
from neocog.nn.layers import LayerScale, Maxout
from neocog.reference import channels
from neocog.reference.loss import softmax
from neocog.reference.rule import Call

shapes = st.sampled_from([(3, 4), (2, 3, 2, 4)])


@given(shapes, st.integers(0, 2**32 - 1))
def test_prelu_gradients_agree_with_finite_differences(shape, seed):
    rng = np.random.default_rng(seed)
    x, weight, dy = rng.standard_normal(shape), rng.standard_normal(4), rng.standard_normal(shape)
    x = np.where(np.abs(x) < 1e-3, 1.0, x)
    dx, dw = channels.prelu_backward(x, weight, dy)
    assert agree(dx, gradient(lambda v: (dy * channels.prelu_forward(v, weight)).sum(), x))
    assert agree(dw, gradient(lambda v: (dy * channels.prelu_forward(x, v)).sum(), weight))


def test_prelu_scales_what_is_not_above_zero():
    x = np.array([[-2.0, -2.0], [0.0, 3.0]])
    weight = np.array([0.5, -1.0])
    assert channels.prelu_forward(x, weight).tolist() == [[-1.0, 2.0], [0.0, 3.0]]
    dx, dw = channels.prelu_backward(x, weight, np.ones((2, 2)))
    assert dx.tolist() == [[0.5, -1.0], [0.5, 1.0]]
    assert dw.tolist() == [-2.0, -2.0]


@given(shapes, st.integers(0, 2**32 - 1))
def test_layer_scale_gradients_agree_with_finite_differences(shape, seed):
    rng = np.random.default_rng(seed)
    x, weight, dy = rng.standard_normal(shape), rng.standard_normal(4), rng.standard_normal(shape)
    sent = channels.RULES[LayerScale].backward(Call(LayerScale(), (x,), {"weight": weight}, 0, None), dy)
    assert agree(sent.inputs[0], gradient(lambda v: (dy * v * weight).sum(), x))
    assert agree(sent.variables["weight"], gradient(lambda v: (dy * x * v).sum(), weight))


@given(shapes, st.integers(0, 2**32 - 1))
def test_softmax_gradients_agree_with_finite_differences(shape, seed):
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    dx = channels.softmax_backward(softmax(x), dy)
    assert agree(dx, gradient(lambda v: (dy * softmax(v)).sum(), x))


@given(shapes, st.sampled_from([1, 2, 4]), st.integers(0, 2**32 - 1))
def test_maxout_gradients_agree_with_finite_differences(shape, pieces, seed):
    rng = np.random.default_rng(seed)
    layer, x = Maxout(pieces), rng.permutation(np.prod(shape)).reshape(shape) / 10
    y, argmax = channels.maxout_forward(x, layer)
    dy = rng.standard_normal(y.shape)
    dx = channels.maxout_backward(x, argmax, dy, layer)
    assert agree(dx, gradient(lambda v: (dy * channels.maxout_forward(v, layer)[0]).sum(), x))


def test_maxout_compares_channels_that_lie_apart():
    x = np.array([[1.0, 9.0, 2.0, 5.0, 4.0, 3.0]])
    y, argmax = channels.maxout_forward(x, Maxout(2))
    assert y.tolist() == [[5.0, 9.0, 3.0]]
    assert argmax.tolist() == [[1, 0, 1]]
    y, argmax = channels.maxout_forward(x, Maxout(3))
    assert y.tolist() == [[4.0, 9.0]]
    assert argmax.tolist() == [[2, 0]]


def test_the_first_of_equal_pieces_wins_and_a_nan_wins_over_all():
    x = np.array([[7.0, np.nan, 7.0, 1.0]])
    y, argmax = channels.maxout_forward(x, Maxout(2))
    assert argmax.tolist() == [[0, 0]]
    assert np.isnan(y[0, 1])
    dx = channels.maxout_backward(x, argmax, np.array([[2.0, 3.0]]), Maxout(2))
    assert dx.tolist() == [[2.0, 3.0, 0.0, 0.0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(dtype):
    x = np.ones((2, 4), dtype)
    y, argmax = channels.maxout_forward(x, Maxout())
    dx, dw = channels.prelu_backward(x, x[0], x)
    for value in (y, channels.maxout_backward(x, argmax, y, Maxout()), dx, dw, channels.prelu_forward(x, x[0])):
        assert value.dtype == dtype
