"""Vectors: the fully connected layer y = x · W + b, and the Flatten before it."""

from __future__ import annotations

import math

from neocog.nn.layers import Flatten, Linear
from neocog.reference.arrays import Array
from neocog.reference.rule import Call, LayerResult, ReferenceRule, Rules, Sent


def forward(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Multiply x (N, inputs) by weight (inputs, outputs) and add bias (outputs,): (N, outputs)."""
    y: Array = x @ weight
    return y if bias is None else y + bias


def backward(x: Array, weight: Array, dy: Array) -> tuple[Array, Array, Array]:
    """Return the gradients of x, weight and bias for dy (N, outputs), the gradient of the output."""
    return dy @ weight.T, x.T @ dy, dy.sum(axis=0)


def _result(call: Call[Linear]) -> LayerResult:
    return LayerResult(forward(call.x, call.variables["weight"], call.variables.get("bias")))


def _sent(call: Call[Linear], dy: Array) -> Sent:
    dx, dw, db = backward(call.x, call.variables["weight"], dy)
    return Sent((dx,), {"weight": dw} | ({"bias": db} if call.layer.bias else {}))


RULES: Rules = {
    Flatten: ReferenceRule(
        lambda call: LayerResult(call.x.reshape(len(call.x), math.prod(call.x.shape[1:]))),
        lambda call, dy: Sent((dy.reshape(call.x.shape),)),
    ),
    Linear: ReferenceRule(_result, _sent),
}
