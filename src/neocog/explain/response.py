"""What filters answer: where that is read, and the layers up to there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.errors import WeightsError
from neocog.explain.subject import Array, Subject
from neocog.explain.trace import Trace, problems
from neocog.nn.answer import ACTIVATIONS, answer_path
from neocog.nn.graph import Graph
from neocog.reference.network import ForwardPass, forward, forward_node


def response_index(graph: Graph, index: int) -> int:
    """Return the layer at which a filter's answer is read: behind the BatchNorm2d and the activation directly behind
    its convolution, where there are any.
    """
    return answer_path(graph, index)[-1]


def climbing_index(graph: Graph, index: int) -> int:
    """Return the layer that gives a filter's answer in front of the activation: there a silent one can be woken."""
    path = answer_path(graph, index)
    ends_activated = len(path) > 1 and isinstance(graph.nodes[path[-1]].layer, ACTIVATIONS)
    return path[-2] if ends_activated else path[-1]


def activated(graph: Graph, parameters: Mapping[str, NDArray[Any]], index: int, filter: int, values: Array) -> Array:
    """Return what becomes of one filter's values at `climbing_index` on their way to `response_index`: those of
    convolution number `index`, in any shape.
    """
    last = response_index(graph, index)
    if last == climbing_index(graph, index):
        return values
    node = graph.nodes[last]
    names = [f"{node.name}.{variable.name}" for variable in node.layer.variables(*node.shapes)]
    own = {name: parameters[name][[filter]] for name in names}  # an activation treats each channel by itself
    given = forward_node(node, own, (values.reshape(-1, 1),), None)
    result: Array = given.output.reshape(values.shape)
    return result


def usable_parameters(model: Subject, last: int, dtype: type[np.floating[Any]]) -> dict[str, NDArray[Any]]:
    """Return the parameters of the layers up to number `last`: name → array, in memory layout.

    Raises:
        WeightsError: some are NaN or infinite; the message names the layer.
    """
    usable = {}
    for node in model.graph.nodes[: last + 1]:
        for variable in node.layer.variables(*node.shapes):
            name = f"{node.name}.{variable.name}"
            values = model.parameters[name]
            bad = int(np.count_nonzero(~np.isfinite(values)))
            if bad:
                raise WeightsError(
                    f"{node.title} has {bad} values in {name} that are NaN or infinite: its maps mean nothing",
                    hint="the training diverged: train again with a smaller learning rate",
                )
            usable[name] = values.astype(dtype)
    return usable


def usable(traced: Trace) -> Trace:
    """Return a traced network if its logits are numbers.

    Raises:
        WeightsError: they are NaN or infinite; the message names the layer where that begins.
    """
    if np.isfinite(traced.logits).all():
        return traced
    cause = next(problem for problem in problems(traced) if problem.kind in ("nan", "infinite"))
    raise WeightsError(
        f"{cause.text}: the answer is no number", hint="the training diverged: train again with a smaller learning rate"
    )


def run_to(graph: Graph, parameters: Mapping[str, NDArray[Any]], images: NDArray[Any], last: int) -> ForwardPass:
    """Run the layers up to number `last` (-1: none) by the reference, in the dtype of the parameters.

    Arguments:
        graph: the network.
        parameters: at least those of the layers that are run.
        images: (N, H, W, C), uint8 or in [0, 1].
        last: index of the last layer that is run.

    Returns:
        a run whose `outputs` end with that layer's; `neocog.reference.network.backward` goes back from there.
    """
    return forward(graph, parameters, images, last=last)
