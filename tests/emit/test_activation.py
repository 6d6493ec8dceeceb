"""Emitted activations agree with their formulas in float64, and their derivatives with finite differences of those."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from llvmlite import ir

from emit_functions import applied, floats, targets
from neocog.emit.activation import ACTIVATIONS, gradient, gradient_of_output, value
from neocog.emit.builder import Builder, IrValue
from neocog.emit.program import STAGE_TYPE
from neocog.nn.layer import Layer
from neocog.nn.layers import (
    ELU,
    GELU,
    LAYERS,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)
from neocog.nn.layers.activation import Activation

U = 2.0**-24
DENORMAL = 2.0**-148  # two roundings of the smallest numbers
STEP = 1e-5  # of finite differences, in float64
ERFC = np.vectorize(math.erfc, otypes=[np.float64])
Formula = Callable[[np.ndarray], np.ndarray]


def gelu_by_tanh(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


CASES: list[tuple[Layer, Formula, tuple[float, ...]]] = [  # with the places where there is no derivative
    (ReLU(), lambda x: np.maximum(x, 0), (0,)),
    (ReLU6(), lambda x: np.clip(x, 0, 6), (0, 6)),
    (LeakyReLU(0.3), lambda x: np.where(x > 0, x, 0.3 * x), (0,)),
    (LeakyReLU(0.0), lambda x: np.where(x > 0, x, 0.0), (0,)),
    (ELU(), lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), (0,)),
    (ELU(0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(np.minimum(x, 0))), (0,)),
    (SiLU(), lambda x: x / (1 + np.exp(-x)), ()),
    (GELU(), lambda x: x * ERFC(-x / math.sqrt(2)) / 2, ()),
    (GELU("tanh"), gelu_by_tanh, ()),
    (Hardsigmoid(), lambda x: np.clip(x + 3, 0, 6) / 6, (-3, 3)),
    (Hardswish(), lambda x: x * np.clip(x + 3, 0, 6) / 6, (-3, 3)),
    (Sigmoid(), lambda x: 1 / (1 + np.exp(-x)), ()),
    (Tanh(), np.tanh, ()),
]
EVERY = pytest.mark.parametrize(("layer", "formula", "kinks"), CASES, ids=[str(case[0]) for case in CASES])
ON_EACH = pytest.mark.parametrize("target", sorted(targets()))
X = np.concatenate([np.linspace(-30, 30, 60_013), np.linspace(-1, 1, 20_011), [0.0, -0.0]]).astype(np.float32)


@ON_EACH
@EVERY
def test_values_are_those_of_the_formula(layer: Layer, formula: Formula, kinks: tuple, target: str) -> None:
    """Three roundings of the result and of the numbers of size 1 (or of x) that it is made of."""
    x = np.concatenate([X, floats(65536)])
    x = x[np.isfinite(x)]
    with np.errstate(all="ignore"):
        want = formula(x.astype(np.float64))
    want = np.where(np.isnan(want) & (x < 0), 0, want)  # the formula's own overflow, at -1e38
    got = applied(targets()[target], lambda b, x: value(b, layer, x), x).astype(np.float64)
    assert (np.abs(got - want) <= 3 * U * (np.abs(want) + np.minimum(1, np.abs(x))) + DENORMAL).all()


@ON_EACH
@EVERY
def test_gradients_are_those_of_finite_differences(layer: Layer, formula: Formula, kinks: tuple, target: str) -> None:
    smooth = np.all([np.abs(X - kink) > 2 * STEP for kink in kinks], axis=0) if kinks else np.ones(X.shape, bool)
    x, dy = X[smooth], np.cos(np.arange(smooth.sum())).astype(np.float32)
    wide = x.astype(np.float64)
    slope = (formula(wide + STEP) - formula(wide - STEP)) / (2 * STEP)
    limit = np.abs(dy) * (6 * U + 1e-9)  # 1e-9: the differences' own error, STEP² and 2^-53 |f| / STEP
    got = applied(targets()[target], lambda b, dy, x: gradient(b, layer, dy, x), dy, x)
    assert (np.abs(got - dy * slope) <= limit).all()
    if layer.from_output:
        y = applied(targets()[target], lambda b, x: value(b, layer, x), x)
        got = applied(targets()[target], lambda b, dy, y: gradient_of_output(b, layer, dy, y), dy, y)
        assert (np.abs(got - dy * slope) <= limit).all()


@EVERY
def test_derivatives_are_the_gradients_of_one(layer: Layer, formula: Formula, kinks: tuple) -> None:
    host, rule = targets()["host"], ACTIVATIONS[type(layer)]
    derivative = applied(host, lambda b, x: rule.derivative(b, layer, x), X)
    assert (derivative == applied(host, lambda b, x: gradient(b, layer, b.like(x, 1.0), x), X)).all()


@EVERY
def test_a_nan_stays_a_nan_and_infinities_give_finite_gradients(layer: Layer, formula: Formula, kinks: tuple) -> None:
    host = targets()["host"]
    special = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38], np.float32)
    values = applied(host, lambda b, x: value(b, layer, x), special)
    assert np.isnan(values[0])
    slopes = applied(host, lambda b, x: gradient(b, layer, b.like(x, 1.0), x), special)
    assert np.isfinite(slopes[1:]).all()
    with np.errstate(over="ignore"):
        bounded = formula(np.array([3000.0, -3000.0])) - formula(np.array([2999.0, -3001.0]))
    assert np.allclose(slopes[1:], np.tile(bounded, 2), atol=1e-6)


def test_every_activation_is_emitted_and_says_how() -> None:
    assert (
        set(ACTIVATIONS)
        == {layer for layer in LAYERS if issubclass(layer, Activation)}
        == {type(case[0]) for case in CASES}
    )
    zero = np.zeros(1, np.float32)
    for layer, *_ in CASES:
        result = applied(targets()["host"], lambda b, x, layer=layer: value(b, layer, x), zero)
        assert layer.keeps_zero == (result[0] == 0), layer
        assert layer.from_output == (ACTIVATIONS[type(layer)].derivative_of_output is not None), layer


def test_a_relu_is_written_as_it_always_was() -> None:
    def text(write: Callable) -> str:
        function = ir.Function(ir.Module(), STAGE_TYPE, "run")
        b = Builder(function, targets()["host"])
        x, y = (b.load(function.args[0], place * b.lanes) for place in (0, 1))
        b.store(write(b, x, y), function.args[0])
        return str(function)

    def where_positive(b: Builder, dy: IrValue, seen: IrValue) -> IrValue:
        zero = b.like(dy, 0.0)
        return b.ir.select(b.ir.fcmp_ordered(">", seen, zero), dy, zero)

    assert text(lambda b, x, y: value(b, ReLU(), x)) == text(lambda b, x, y: b.relu(x))
    assert text(lambda b, x, y: gradient(b, ReLU(), x, y)) == text(where_positive)
    assert text(lambda b, x, y: gradient_of_output(b, ReLU(), x, y)) == text(where_positive)
