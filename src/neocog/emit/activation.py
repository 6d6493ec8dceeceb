"""Activations that work value by value: what each gives for vectors, and its derivative.

A new activation is one more entry of ACTIVATIONS. `Activation.keeps_zero` and `Activation.from_output` (nn) must agree
with it; tests/emit/test_activation.py asks both. Nothing here is a branch: where a function has pieces, all of them are
computed, and a select takes one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from neocog.emit.builder import Builder, IrValue
from neocog.emit.vector_math import (
    absolute,
    at_least,
    at_most,
    exp,
    expm1_of_negative,
    normal_distribution,
    sigmoid,
    tanh,
)
from neocog.nn.layer import Layer
from neocog.nn.layers import (
    ELU,
    GELU,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Tanh,
)

Function = Callable[[Builder, Any, IrValue], IrValue]
"""Of a builder, a layer, and x (or y)."""


@dataclass(frozen=True, slots=True)
class ActivationRule:
    """How an activation y = f(x) is emitted.

    Arguments:
        value: f(x); a NaN stays a NaN.
        derivative: f'(x).
        derivative_of_output: f'(x) from y = f(x); None where y does not tell.
        passes: whether the gradient passes, as i1, from x or y alike: for functions whose derivative is 1 or 0. Nothing
            passes where there is a NaN.
    """

    value: Function
    derivative: Function
    derivative_of_output: Function | None = None
    passes: Function | None = None


def value(b: Builder, layer: Layer, x: IrValue) -> IrValue:
    """Return f(x)."""
    return ACTIVATIONS[type(layer)].value(b, layer, x)


def gradient(b: Builder, layer: Layer, dy: IrValue, x: IrValue) -> IrValue:
    """Return dy · f'(x), from what went in."""
    rule = ACTIVATIONS[type(layer)]
    return _gradient(b, rule, rule.derivative, layer, dy, x)


def gradient_of_output(b: Builder, layer: Layer, dy: IrValue, y: IrValue) -> IrValue:
    """Return dy · f'(x), from what came out; for layers with `from_output`."""
    rule = ACTIVATIONS[type(layer)]
    assert rule.derivative_of_output is not None, f"the output of {layer} does not tell its derivative"
    return _gradient(b, rule, rule.derivative_of_output, layer, dy, y)


def _gradient(
    b: Builder, rule: ActivationRule, derivative: Function, layer: Layer, dy: IrValue, seen: IrValue
) -> IrValue:
    if rule.passes is not None:
        return b.ir.select(rule.passes(b, layer, seen), dy, b.like(dy, 0.0))
    return b.ir.fmul(dy, derivative(b, layer, seen))


# --- where gradients pass, and slopes --------------------------------------------------------------------------------


def _is_positive(b: Builder, layer: Layer, x: IrValue) -> IrValue:
    return b.ir.fcmp_ordered(">", x, b.like(x, 0.0))


def _is_between(b: Builder, x: IrValue, low: float, high: float) -> IrValue:
    inside = b.ir.fcmp_ordered(">", x, b.like(x, low)), b.ir.fcmp_ordered("<", x, b.like(x, high))
    return b.ir.and_(*inside)


def _inside_relu6(b: Builder, layer: Layer, x: IrValue) -> IrValue:
    return _is_between(b, x, 0.0, 6.0)


def _one_where(passes: Function) -> Function:
    """Return the derivative of a function that lets pass or stops."""
    return lambda b, layer, x: b.ir.select(passes(b, layer, x), b.like(x, 1.0), b.like(x, 0.0))


def _leaky_slope(b: Builder, layer: LeakyReLU, x: IrValue) -> IrValue:
    return b.ir.select(_is_positive(b, layer, x), b.like(x, 1.0), b.like(x, layer.slope))


def _leaky_relu(b: Builder, layer: LeakyReLU, x: IrValue) -> IrValue:
    return b.ir.select(_is_positive(b, layer, x), x, b.ir.fmul(x, b.like(x, layer.slope)))


# --- of an exponential -----------------------------------------------------------------------------------------------


def _elu(b: Builder, layer: ELU, x: IrValue) -> IrValue:
    below = b.ir.fmul(expm1_of_negative(b, x), b.like(x, layer.alpha))
    return b.ir.select(_is_positive(b, layer, x), x, below)


def _elu_derivative(b: Builder, layer: ELU, x: IrValue) -> IrValue:
    below = b.ir.fmul(exp(b, x), b.like(x, layer.alpha))
    return b.ir.select(_is_positive(b, layer, x), b.like(x, 1.0), below)


def _elu_derivative_of_output(b: Builder, layer: ELU, y: IrValue) -> IrValue:
    return b.ir.select(_is_positive(b, layer, y), b.like(y, 1.0), b.ir.fadd(y, b.like(y, layer.alpha)))


def _sigmoid_and_slope(b: Builder, x: IrValue) -> tuple[IrValue, IrValue]:
    """Return s = sigmoid(x) and its derivative s (1 - s), which both keep their digits far from 0."""
    one = b.like(x, 1.0)
    power = exp(b, b.ir.fneg(absolute(b, x)))  # never above 1
    large = b.ir.fdiv(one, b.ir.fadd(one, power))  # sigmoid(|x|)
    small = b.ir.fmul(power, large)  # sigmoid(-|x|)
    return b.ir.select(_is_below_zero(b, x), small, large), b.ir.fmul(small, large)


def _is_below_zero(b: Builder, x: IrValue) -> IrValue:
    return b.ir.fcmp_ordered("<", x, b.like(x, 0.0))


def _sigmoid_derivative_of_output(b: Builder, layer: Layer, y: IrValue) -> IrValue:
    return b.ir.fmul(y, b.ir.fsub(b.like(y, 1.0), y))


def _tanh_derivative(b: Builder, layer: Layer, x: IrValue) -> IrValue:
    """4 s (1 - s) for s = sigmoid(2x)."""
    return b.ir.fmul(_sigmoid_and_slope(b, b.ir.fadd(x, x))[1], b.like(x, 4.0))


def _tanh_derivative_of_output(b: Builder, layer: Layer, y: IrValue) -> IrValue:
    return b.ir.fmul(b.ir.fsub(b.like(y, 1.0), y), b.ir.fadd(b.like(y, 1.0), y))


def _silu(b: Builder, layer: Layer, x: IrValue) -> IrValue:
    return b.ir.fdiv(x, b.ir.fadd(b.like(x, 1.0), exp(b, b.ir.fneg(x))))


def _silu_derivative(b: Builder, layer: Layer, x: IrValue) -> IrValue:
    """s + x s (1 - s)."""
    x = at_least(b, at_most(b, x, 88.0), -88.0)  # ∞ times the zero that stands for exp(-∞) would be a NaN
    share, slope = _sigmoid_and_slope(b, x)
    return b.multiply_add(x, slope, share)


# --- of the normal distribution --------------------------------------------------------------------------------------

CUBIC = 0.044715  # of the tanh that comes near the normal distribution
INNER = 2 * math.sqrt(2 / math.pi)  # tanh(u) = 2 sigmoid(2u) - 1


def _gelu(b: Builder, layer: GELU, x: IrValue) -> IrValue:
    if layer.approximate == "none":
        return b.ir.fmul(x, normal_distribution(b, x))
    return b.ir.fmul(x, sigmoid(b, _tanh_argument(b, x)))


def _tanh_argument(b: Builder, x: IrValue) -> IrValue:
    square = b.ir.fmul(x, x)
    return b.ir.fmul(x, b.multiply_add(square, b.like(x, INNER * CUBIC), b.like(x, INNER)))


def _gelu_derivative(b: Builder, layer: GELU, x: IrValue) -> IrValue:
    """Φ(x) + x φ(x), or s + x s (1 - s) v' for s = sigmoid(v)."""
    if layer.approximate == "none":
        x = at_least(b, at_most(b, x, 16.0), -16.0)  # φ is 0 from here on
        density = exp(b, b.ir.fmul(b.ir.fmul(x, x), b.like(x, -0.5)))
        scaled = b.ir.fmul(x, b.like(x, 1 / math.sqrt(2 * math.pi)))
        return b.multiply_add(scaled, density, normal_distribution(b, x))
    x = at_least(b, at_most(b, x, 11.0), -11.0)  # s is 0 or 1 from here on
    share, slope = _sigmoid_and_slope(b, _tanh_argument(b, x))
    inner = b.multiply_add(b.ir.fmul(x, x), b.like(x, 3 * INNER * CUBIC), b.like(x, INNER))
    return b.multiply_add(b.ir.fmul(x, inner), slope, share)


# --- of three straight pieces ----------------------------------------------------------------------------------------


def _relu6(b: Builder, layer: Layer, x: IrValue) -> IrValue:
    return at_most(b, at_least(b, x, 0.0), 6.0)


def _hardsigmoid(b: Builder, layer: Layer, x: IrValue) -> IrValue:
    shifted = b.ir.fadd(x, b.like(x, 3.0))
    return b.ir.fmul(at_most(b, at_least(b, shifted, 0.0), 6.0), b.like(x, 1 / 6))


def _hardsigmoid_derivative(b: Builder, layer: Layer, x: IrValue) -> IrValue:
    return b.ir.select(_is_between(b, x, -3.0, 3.0), b.like(x, 1 / 6), b.like(x, 0.0))


def _hardsigmoid_derivative_of_output(b: Builder, layer: Layer, y: IrValue) -> IrValue:
    return b.ir.select(_is_between(b, y, 0.0, 1.0), b.like(y, 1 / 6), b.like(y, 0.0))


def _hardswish(b: Builder, layer: Layer, x: IrValue) -> IrValue:
    return b.ir.fmul(x, _hardsigmoid(b, layer, x))


def _hardswish_derivative(b: Builder, layer: Layer, x: IrValue) -> IrValue:
    """x / 3 + 1/2 between -3 and 3; 0 below, and 1 above."""
    outside = b.ir.select(_is_positive(b, layer, x), b.like(x, 1.0), b.like(x, 0.0))
    return b.ir.select(_is_between(b, x, -3.0, 3.0), b.multiply_add(x, b.like(x, 1 / 3), b.like(x, 0.5)), outside)


ACTIVATIONS: dict[type[Layer], ActivationRule] = {
    ReLU: ActivationRule(
        lambda b, layer, x: b.relu(x), _one_where(_is_positive), _one_where(_is_positive), passes=_is_positive
    ),
    ReLU6: ActivationRule(_relu6, _one_where(_inside_relu6), _one_where(_inside_relu6), passes=_inside_relu6),
    LeakyReLU: ActivationRule(_leaky_relu, _leaky_slope, _leaky_slope),
    ELU: ActivationRule(_elu, _elu_derivative, _elu_derivative_of_output),
    SiLU: ActivationRule(_silu, _silu_derivative),
    GELU: ActivationRule(_gelu, _gelu_derivative),
    Hardsigmoid: ActivationRule(_hardsigmoid, _hardsigmoid_derivative, _hardsigmoid_derivative_of_output),
    Hardswish: ActivationRule(_hardswish, _hardswish_derivative),
    Sigmoid: ActivationRule(
        lambda b, layer, x: sigmoid(b, x),
        lambda b, layer, x: _sigmoid_and_slope(b, x)[1],
        _sigmoid_derivative_of_output,
    ),
    Tanh: ActivationRule(lambda b, layer, x: tanh(b, x), _tanh_derivative, _tanh_derivative_of_output),
}
