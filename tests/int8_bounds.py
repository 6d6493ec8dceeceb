"""How far an engine in int8 may be from the oracle, where layers such as means and exponentials round another way.

Integers and their sums are exact, and so is what is computed of them one rounded operation at a time. A layer that an
engine rounds its own way strays by e, as in float32 (rounding/ has the rules). Where its value v is rounded to 8 bits,
the integers of v - e and v + e are mostly one: then nothing is left of e. Near a half they are two, and the engine may
have the other one. So beside each integer runs a bound on how many steps it may be off, and through a convolution it
goes like any error: the sum of |w| times the steps of what w multiplies.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layers import Conv2d, Linear
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import Scales, limits_of, rounded_values, source_of
from neocog.reference import conv, int8, linear
from neocog.reference.network import forward_node
from rounding.rule import Mass, U, Use, gamma
from rounding.rules import RULES


def logits_bound(graph: Graph, parameters: Mapping[str, np.ndarray], images: np.ndarray, scales: Scales) -> np.ndarray:
    """Bound the difference of an engine's logits from those of the oracle, for images of bytes."""
    folded = fold_norms(graph)
    graph, stored = folded.graph, folded.fold(dict(parameters))
    exact = {name: value.astype(np.float64) for name, value in stored.items()}
    outputs, integers = int8.forward(graph, stored, images, scales)
    rounded, image = rounded_values(graph), int8.normalise(graph, images)
    values = {IMAGE: int8.values_of(integers[IMAGE], scales.of(graph, IMAGE)) if IMAGE in rounded else image}
    values |= dict(enumerate(outputs))
    steps, errors = {IMAGE: np.zeros(image.shape)}, {IMAGE: np.zeros(image.shape)}
    for node in graph.nodes:
        index, (first, *_) = node.index, node.inputs
        if isinstance(node.layer, Conv2d | Linear):
            given, error = _multiplied(node, stored, integers[first], steps[first], scales.of(graph, first))
        elif source_of(graph, index) in rounded - {index}:  # MaxPool2d and Flatten: the largest is off by no more steps
            steps[index] = forward_node(node, exact, [steps[first]], None).output
            errors[index] = _of_steps(steps[index], integers[index], scales.of(graph, index))
            continue
        else:
            given, error = _computed(node, exact, [values[n] for n in node.inputs], [errors[n] for n in node.inputs])
        if index in rounded:
            scale = scales.of(graph, index)
            steps[index] = _steps(given, error, integers[index], scale, limits_of(graph, index))
            error = _of_steps(steps[index], integers[index], scale)
        else:
            error = error + np.abs(given - outputs[index])
        errors[index] = error
    return errors[graph.nodes[-1].index].reshape(len(images), *graph.answer_shape)


def _multiplied(
    node: Node, stored: Mapping[str, np.ndarray], x: np.ndarray, steps: np.ndarray, scale: np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Return what a layer gives for integers x, and how far it strays where these are off by so many steps.

    Where none is, the sum is the same, and so are the two roundings behind it.
    """
    bias = stored.get(f"{node.name}.bias")
    weight, shift, scales = int8.round_weights(stored[f"{node.name}.weight"], bias, scale)

    def correlate(taken: np.ndarray, factors: np.ndarray, added: np.ndarray | None) -> np.ndarray:
        if isinstance(node.layer, Conv2d):
            return conv.forward(taken, factors, node.layer, added)
        return linear.forward(taken, factors, added)

    sums, off = correlate(x, weight, shift), correlate(steps, np.abs(weight), None)
    each = (scale * scales).astype(np.float64)
    given = (sums.astype(np.float32) * (scale * scales)).astype(np.float64)
    return given, np.where(off > 0, each * (off + 2 * gamma(2) * (np.abs(sums) + off)), 0.0)


def _computed(
    node: Node, exact: Mapping[str, np.ndarray], inputs: list[np.ndarray], errors: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return what any other layer gives without rounding, and how far from it engine and oracle may be."""
    taken = tuple(value.astype(np.float64) for value in inputs)
    names = [variable.name for variable in node.layer.variables(*node.shapes)]
    result = forward_node(node, exact, taken, None)
    use = Use(
        node,
        {name: exact[f"{node.name}.{name}"] for name in names},
        taken,
        tuple(errors),
        tuple(Mass(np.abs(value) + error) for value, error in zip(taken, errors, strict=True)),
        result.choice,
        False,
        result.output,
    )
    return result.output, RULES[type(node.layer)].forward(use).error + U * np.abs(result.output)


def _steps(
    given: np.ndarray, error: np.ndarray, integers: np.ndarray, scale: np.float32, limits: tuple[int, int]
) -> np.ndarray:
    """Bound how far off the integers of values are that stray by `error`: rounding keeps the order of values."""
    inverse = float(np.float32(1) / scale)
    low, high = (given - error) * inverse, (given + error) * inverse
    product = U * np.maximum(np.abs(low), np.abs(high))  # which is rounded before its nearest integer is taken
    least, most = (np.clip(np.rint(value), *limits) for value in (low - product, high + product))
    return np.where(error > 0, np.maximum(most - integers, integers - least), 0.0)


def _of_steps(steps: np.ndarray, integers: np.ndarray, scale: np.float32) -> np.ndarray:
    """Bound how far off values are whose integers are off by so many steps: both products are rounded."""
    return np.where(steps > 0, float(scale) * (steps + 2 * U * (np.abs(integers) + steps)), 0.0)
