"""Where the numbers of a training step stop being finite.

The step is computed once more with NumPy, layer by layer, and each value is looked at. An engine computes the same but
for the order of its sums; what overflows inside a layer of the engine alone is not seen here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Images, StepSettings
from neocog.engines.room import check_room
from neocog.nn.graph import Graph, Node
from neocog.reference import loss
from neocog.reference.arrays import Array
from neocog.reference.network import Draw, ForwardPass, backward, forward

LARGEST = float(np.finfo(np.float32).max)
BYTES_A_VALUE = 12  # what a layer gives, what it chose, and the gradient of it


def first_not_finite(
    graph: Graph,
    parameters: Mapping[str, Array],
    images: Images,
    targets: NDArray[np.generic],
    settings: StepSettings,
    step: int,
) -> str | None:
    """Return what of a training step is the first that is not finite, as a sentence; None where all is.

    Arguments:
        graph: the network.
        parameters: float32, as they were before the step; finite.
        images, targets: as a TrainProgram takes them.
        settings: those of the training program.
        step: its number, from 1, on which it depends what Dropout drops.

    Raises:
        EngineError: all that the layers give takes more memory than there is.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.graph import trace
    >>> from neocog.nn.layers import Flatten, Linear
    >>> from neocog.nn.losses import CrossEntropy
    >>> from neocog.nn.optimizers import SGD
    >>> graph = trace(Sequential(Flatten(), Linear(2)), (1, 1, 1))
    >>> weights = {"1.weight": np.array([[3e38, 0]], np.float32), "1.bias": np.array([3e38, 0], np.float32)}
    >>> step = np.ones((1, 1, 1, 1), np.float32), np.array([0]), StepSettings(CrossEntropy(), SGD(), 1), 1
    >>> first_not_finite(graph, weights, *step)
    'layer 1 (Linear) gives 1 of 2 values that are infinite; its input reaches 1, its weight 3e+38, its bias 3e+38'
    """
    values = len(images) * (graph.input.size + sum(node.output.size for node in graph.nodes))
    check_room(f"a step of {len(images)} images, layer by layer", BYTES_A_VALUE * values)
    with np.errstate(all="ignore"):
        run = forward(graph, parameters, images, Draw(settings.seed, step))
        for node in graph.nodes:
            if found := _bad(run.outputs[node.index]):
                return f"{node.title} gives {found}; {_taken(node, parameters, run)}"
        if found := _bad(np.array(loss.forward(settings.loss, run.logits, targets))):
            return f"the loss is the first that is not finite; the logits reach {_reach(run.logits)}"
        of_logits = loss.backward(settings.loss, run.logits, targets).astype(run.logits.dtype)
        gradients = backward(graph, parameters, run, of_logits)
        for node in reversed(graph.nodes):
            if found := _bad(gradients.outputs.get(node.index, of_logits)):
                return f"the gradient of what {node.title} gives holds {found}"
            for name in _variables(node):
                if found := _bad(gradients.parameters.get(f"{node.name}.{name}", of_logits)):
                    return f"the gradient of {node.title}'s {name} holds {found}; {_taken(node, parameters, run)}"
    return None


def _bad(value: Array) -> str:
    """Say how many values are not finite as float32; nothing where all are."""
    bad = int((~(np.abs(value) <= LARGEST)).sum())
    return f"{bad:,} of {value.size:,} values that are {'NaN' if np.isnan(value).any() else 'infinite'}" if bad else ""


def _taken(node: Node, parameters: Mapping[str, Array], run: ForwardPass) -> str:
    """Say how large the numbers are that a layer computes with."""
    largest = max(_reach(value) for value in run.inputs(node.index))
    own = [f", its {name} {_reach(parameters[f'{node.name}.{name}']):.2g}" for name in _variables(node)]
    return f"its input reaches {largest:.2g}{''.join(own)}"


def _reach(value: Array) -> float:
    return float(np.abs(value).max(initial=0.0))


def _variables(node: Node) -> list[str]:
    return [variable.name for variable in node.layer.variables(*node.shapes) if variable.trainable]
