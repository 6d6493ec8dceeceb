"""The fully connected layer: y = x · W + b."""

from __future__ import annotations

from neocog.reference.arrays import Array


def forward(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Multiply x (N, inputs) by weight (inputs, outputs) and add bias (outputs,): (N, outputs)."""
    y: Array = x @ weight
    return y if bias is None else y + bias


def backward(x: Array, weight: Array, dy: Array) -> tuple[Array, Array, Array]:
    """Return the gradients of x, weight and bias for dy (N, outputs), the gradient of the output."""
    return dy @ weight.T, x.T @ dy, dy.sum(axis=0)
