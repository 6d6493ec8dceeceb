"""Graphs rewritten: for prediction, without what a network that no longer learns need not compute; and for the gradient
of a value, with a name for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layer import Layer, Variable, channels_of
from neocog.nn.layers import BatchNorm2d, Conv2d, LayerScale, Linear
from neocog.nn.parameters import Array
from neocog.nn.shapes import Shape
from neocog.nn.wiring import Wiring

SOUGHT = "(sought)"
"""The name of the layer that stands for a value whose gradient is sought. No user's layer has it: of brackets."""


@dataclass(frozen=True, slots=True)
class ScaleShift(Layer):
    """x · weight + bias, with one of each for every channel: what is left of a normalization that cannot be folded."""

    def variables(self, *inputs: Shape) -> tuple[Variable, ...]:
        shape = (channels_of(inputs[0]),)
        return (Variable("weight", shape, 1.0, decay=False), Variable("bias", shape, 0.0, decay=False))


@dataclass(frozen=True, slots=True)
class Folded:
    """A network without batch normalization that predicts what another one does.

    Arguments:
        graph: the network. Layers keep their names.
        source: the one that it stands for.
        norms: for each layer with changed parameters, by name, the normalization that went into it.
    """

    graph: Graph
    source: Graph
    norms: dict[str, Node]

    def fold(self, parameters: Mapping[str, Array]) -> dict[str, Array]:
        """Return the parameters for `graph` that stand for those of `source`, rounded from what `exact` gives."""
        return {name: value.astype(np.float32, copy=False) for name, value in self.exact(parameters).items()}

    def exact(self, parameters: Mapping[str, Array]) -> dict[str, np.ndarray]:
        """Return the parameters for `graph`; those that change are worked out in float64.

        With a = γ / √(variance + ε), weights become W · a, and biases (b - mean) · a + β.
        """
        values: dict[str, np.ndarray] = {}
        for node in self.graph.nodes:
            names = [variable.name for variable in node.layer.variables(*node.shapes)]
            norm = self.norms.get(node.name)
            if norm is None:
                values |= {f"{node.name}.{name}": parameters[f"{node.name}.{name}"] for name in names}
                continue
            scale, shift = _scale_and_shift(norm, parameters)
            if isinstance(node.layer, ScaleShift):
                weight, bias = scale, shift
            else:
                weight = parameters[f"{node.name}.weight"].astype(np.float64) * scale
                bias = parameters.get(f"{node.name}.bias", np.zeros(scale.shape, np.float32)) * scale + shift
            values[f"{node.name}.weight"], values[f"{node.name}.bias"] = weight, bias
        return values

    def index_in_source(self, index: int) -> int:
        """Return the index that a layer of `graph` has in `source`."""
        name = self.graph.nodes[index].name
        return next(node.index for node in self.source.nodes if node.name == name)


def _scale_and_shift(norm: Node, parameters: Mapping[str, Array]) -> tuple[np.ndarray, np.ndarray]:
    """Return what a normalization with its running averages multiplies and adds, for each channel."""
    layer = norm.layer
    assert isinstance(layer, BatchNorm2d)
    mean, variance = (parameters[f"{norm.name}.{name}"].astype(np.float64) for name in ("running_mean", "running_var"))
    with np.errstate(invalid="ignore"):  # a variance below 0, which is asked for with allow_nonfinite only
        scale = 1.0 / np.sqrt(variance + layer.epsilon)
    if layer.affine:
        scale = parameters[f"{norm.name}.weight"] * scale
        return scale, parameters[f"{norm.name}.bias"] - mean * scale
    return scale, -mean * scale


def fold_norms(graph: Graph, *, apart: bool = False) -> Folded:
    """Fold each batch normalization into the convolution or fully connected layer that alone gives its input.

    One behind anything else becomes a ScaleShift; with `apart` all do, so that what each layer gives is still there.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.graph import trace
    >>> net = Sequential(Conv2d(4, 3, bias=False), BatchNorm2d())
    >>> [node.layer.bias for node in fold_norms(trace(net, (8, 8, 3))).graph.nodes]
    [True]
    """
    wiring, values, norms = Wiring(graph.input), {IMAGE: IMAGE}, {}
    into = {} if apart else {norm.inputs[0]: norm for norm in graph.nodes if _folds(graph, norm)}
    for node in graph.nodes:
        inputs = tuple(values[value] for value in node.inputs)
        layer = node.layer
        if isinstance(layer, BatchNorm2d):
            if node.inputs[0] in into:
                values[node.index] = inputs[0]
                continue
            layer = ScaleShift()
            norms[node.name] = node
        elif node.index in into:
            assert isinstance(layer, Conv2d | Linear)
            layer = replace(layer, bias=True)
            norms[node.name] = into[node.index]
        values[node.index] = wiring.add(layer, node.name, inputs)
    if not norms:
        return Folded(graph, graph, {})
    return Folded(Graph.of(wiring, values[len(graph.nodes) - 1], graph.normalisation), graph, norms)


def _folds(graph: Graph, norm: Node) -> bool:
    """Whether a layer is a normalization whose input nobody else takes, and comes of weights."""
    if not isinstance(norm.layer, BatchNorm2d) or norm.inputs[0] == IMAGE:
        return False
    source = graph.nodes[norm.inputs[0]]
    return isinstance(source.layer, Conv2d | Linear) and len(graph.consumers(source.index)) == 1


def with_sought(graph: Graph, value: int, last: int) -> Graph:
    """Return the layers that number `last` depends on, which then is the last one, with a layer named `SOUGHT` behind a
    value: it changes nothing, and all that took the value take what it gives. So the gradient of its output is that of
    the value, as all consumers together send it.

    Arguments:
        graph: a network as it predicts, without batch normalization (`fold_norms`); what drops at random is left out.
        value: number of a value that `last` depends on; -1 is the image.
        last: index of a layer behind it.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.graph import trace
    >>> graph = with_sought(trace(Sequential(Conv2d(4, 3), Conv2d(2, 3)), (8, 8, 3)), 0, 1)
    >>> [node.name for node in graph.nodes]
    ['0', '(sought)', '1']
    """
    wiring, values = Wiring(graph.input), {IMAGE: IMAGE}

    def note(number: int, made: int) -> None:
        values[number] = wiring.add(LayerScale(1.0), SOUGHT, (made,)) if number == value else made

    note(IMAGE, IMAGE)
    for node in ancestors(graph, last):
        inputs = tuple(values[number] for number in node.inputs)
        note(node.index, inputs[0] if node.layer.training_only else wiring.add(node.layer, node.name, inputs))
    return Graph.of(wiring, values[last], graph.normalisation)


def ancestors(graph: Graph, last: int) -> list[Node]:
    """Return the layers that what layer number `last` gives depends on, itself included, in order."""
    found = {last}
    for node in reversed(graph.nodes[: last + 1]):
        if node.index in found:
            found.update(node.inputs)
    return [graph.nodes[index] for index in sorted(found - {IMAGE})]
