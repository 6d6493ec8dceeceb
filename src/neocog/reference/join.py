"""Joins: one value of several."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np

from neocog.nn.layers import Add, Concatenate, Multiply
from neocog.reference.arrays import Array
from neocog.reference.rule import Call, Given, Rule, Rules, Sent


def product(factors: Sequence[Array]) -> Array:
    """Multiply arrays of one shape, value by value."""
    return reduce(np.multiply, factors)


def multiply_backward(factors: Sequence[Array], dy: Array) -> tuple[Array, ...]:
    """Return the gradient of each factor: dy times all the others."""
    return tuple(product((dy, *factors[:place], *factors[place + 1 :])) for place in range(len(factors)))


def split(values: Array, sizes: Sequence[int]) -> tuple[Array, ...]:
    """Cut the last axis into parts of these sizes."""
    return tuple(np.split(values, np.cumsum(sizes)[:-1], axis=-1))


def _cut(call: Call[Concatenate], dy: Array) -> Sent:
    return Sent(split(dy, [x.shape[-1] for x in call.inputs]))


RULES: Rules = {
    Add: Rule(
        lambda call: Given(reduce(np.add, call.inputs)),
        lambda call, dy: Sent((dy,) * len(call.inputs)),
    ),
    Multiply: Rule(
        lambda call: Given(product(call.inputs)),
        lambda call, dy: Sent(multiply_backward(call.inputs, dy)),
    ),
    Concatenate: Rule(lambda call: Given(np.concatenate(call.inputs, axis=-1)), _cut),
}
