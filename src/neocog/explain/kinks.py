"""Kinks: between two inputs at which a layer takes another of its linear pieces, no derivative need hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.nn.graph import Node
from neocog.reference.network import ForwardPass, Parameters, backward_node

CURVED = 4.0  # the second derivative of smooth activations is below it: a slope that changes faster has a jump

Booleans = NDArray[np.bool_]


def same_choice(run: ForwardPass, parameters: Parameters, node: Node) -> Booleans:
    """Tell for which pairs of images, i and i + n of 2 n, a layer chose the same of what competed."""
    choice = run.choices[node.index]
    assert choice is not None  # the reference records it
    one, other = _halves(choice)
    return np.asarray((one == other).all(axis=1), np.bool_)


def same_slope(run: ForwardPass, parameters: Parameters, node: Node) -> Booleans:
    """Tell for which pairs of images an activation's slope changed no faster, value by value, than a curve's does."""
    inputs, output = run.inputs(node.index), run.outputs[node.index]
    sent = backward_node(node, parameters, inputs, run.choices[node.index], np.ones_like(output), None)
    (slope, other_slope), (x, other_x) = _halves(sent.inputs[0]), _halves(inputs[0])
    return np.asarray((np.abs(slope - other_slope) <= CURVED * np.abs(x - other_x)).all(axis=1), np.bool_)


def _halves(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    flat = values.reshape(len(values), -1)
    return flat[: len(flat) // 2], flat[len(flat) // 2 :]
