"""Joins: one value of several."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from neocog.nn.layers import Add, Concatenate, Multiply
from neocog.reference.arrays import Array
from neocog.reference.rule import Call, LayerResult, ReferenceRule, Rules, Sent


def product(factors: Sequence[Array]) -> Array:
    """Multiply arrays value by value; an image of one pixel stands for all pixels."""
    return reduce(np.multiply, factors)


def multiply_backward(factors: Sequence[Array], dy: Array) -> tuple[Array, ...]:
    """Return the gradient of each factor: dy times all the others."""
    return tuple(
        summed(product((dy, *factors[:place], *factors[place + 1 :])), factor) for place, factor in enumerate(factors)
    )


def summed(dy: Array, x: Array) -> Array:
    """Return the gradient of x, given that of each pixel that it stands for: a sum, where x is of one pixel."""
    return dy if dy.shape == x.shape else dy.sum(axis=(1, 2), keepdims=True)


def split(values: Array, sizes: Sequence[int]) -> tuple[Array, ...]:
    """Cut the last axis into parts of these sizes."""
    return tuple(np.split(values, np.cumsum(sizes)[:-1], axis=-1))


def _cut(call: Call[Concatenate], dy: Array) -> Sent:
    return Sent(split(dy, [x.shape[-1] for x in call.inputs]))


RULES: Rules = {
    Add: ReferenceRule(
        lambda call: LayerResult(reduce(np.add, call.inputs)),
        lambda call, dy: Sent(tuple(summed(dy, x) for x in call.inputs)),
    ),
    Multiply: ReferenceRule(
        lambda call: LayerResult(product(call.inputs)),
        lambda call, dy: Sent(multiply_backward(call.inputs, dy)),
    ),
    Concatenate: ReferenceRule(lambda call: LayerResult(np.concatenate(call.inputs, axis=-1)), _cut),
}
