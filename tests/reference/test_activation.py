"""Functions of one value: known values, and every derivative against finite differences."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from finite_differences import agree, gradient
from neocog.nn.layers import (
    ELU,
    GELU,
    LAYERS,
    Activation,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)
from neocog.reference import activation

EVERY = [layer() for layer in LAYERS if issubclass(layer, Activation)] + [LeakyReLU(0.3), ELU(2.5), GELU("tanh")]


def test_every_activation_has_a_function():
    assert set(activation.FUNCTIONS) == {type(layer) for layer in EVERY}


@pytest.mark.parametrize("layer", EVERY, ids=str)
@given(st.lists(st.floats(-12, 12), min_size=1, max_size=6))
def test_derivatives_agree_with_finite_differences(layer, values):
    x = np.array(values)
    x = x[np.abs(x - np.round(x)) > 1e-4]  # all kinks lie at whole numbers
    dy = np.linspace(1, 2, x.size)
    found = activation.backward(layer, x, dy)
    assert agree(found, gradient(lambda v: float((dy * activation.forward(layer, v)).sum()), x))


@pytest.mark.parametrize(
    ("layer", "x", "want"),
    [
        (ReLU6(), 7.5, 6.0),
        (LeakyReLU(0.25), -2.0, -0.5),
        (ELU(2.0), -1.0, 2 * (math.exp(-1) - 1)),
        (SiLU(), 2.0, 2 / (1 + math.exp(-2))),
        (GELU(), -1.5, -1.5 * 0.5 * math.erfc(1.5 / math.sqrt(2))),
        (GELU("tanh"), 1.0, 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * 1.044715))),
        (Hardsigmoid(), 1.5, 0.75),
        (Hardsigmoid(), -4.0, 0.0),
        (Hardswish(), 1.5, 1.125),
        (Hardswish(), -4.0, 0.0),
        (Hardswish(), 7.0, 7.0),
        (Sigmoid(), 0.0, 0.5),
        (Sigmoid(), -40.0, math.exp(-40) / (1 + math.exp(-40))),
        (Tanh(), 0.5, math.tanh(0.5)),
    ],
    ids=str,
)
def test_known_values(layer, x, want):
    assert activation.forward(layer, np.array([x])).item() == pytest.approx(want, rel=1e-14)


@pytest.mark.parametrize(
    ("layer", "x", "want"),
    [
        (ReLU(), 0.0, 0.0),
        (ReLU6(), 0.0, 0.0),
        (ReLU6(), 6.0, 0.0),
        (LeakyReLU(0.25), 0.0, 0.25),
        (ELU(2.0), 0.0, 2.0),
        (Hardsigmoid(), 3.0, 0.0),
        (Hardsigmoid(), -3.0, 0.0),
        (Hardswish(), 3.0, 1.0),
        (Hardswish(), -3.0, 0.0),
    ],
    ids=str,
)
def test_the_slope_at_a_kink_is_pytorchs(layer, x, want):
    assert activation.backward(layer, np.array([x]), np.ones(1)).item() == want


@pytest.mark.parametrize("layer", EVERY, ids=str)
def test_large_values_neither_overflow_nor_warn(layer):
    x = np.array([-800.0, -30.0, 30.0, 800.0])
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(activation.forward(layer, x)).all()
        assert np.isfinite(activation.backward(layer, x, np.ones(4))).all()


@pytest.mark.parametrize("layer", EVERY, ids=str)
def test_values_keep_their_dtype_and_a_nan_stays(layer):
    x = np.array([np.nan, 1.0], np.float32)
    assert activation.forward(layer, x).dtype == activation.backward(layer, x, x).dtype == np.float32
    assert np.isnan(activation.forward(layer, x)[0])


def test_relu_passes_what_is_above_zero():
    x = np.array([-2.0, -0.0, 0.0, 1e-300, 3.0, np.inf])
    assert activation.forward(ReLU(), x).tolist() == [0, 0, 0, 1e-300, 3, np.inf]
    assert activation.backward(ReLU(), x, np.full(6, 7.0)).tolist() == [0, 0, 0, 7, 7, 7]


def test_a_closed_relu_stops_even_an_infinite_gradient():
    assert activation.backward(ReLU(), np.array([-1.0]), np.array([np.inf])).item() == 0.0
