"""The fully connected layer."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from finite_differences import agree, gradient
from neocog.reference import linear


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
