"""A whole network: forward, keeping every activation; backward, giving the gradients of parameters and activations.

Nothing here knows a layer: the rules do. What is here follows the edges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neocog.errors import ShapeError
from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layer import Layer
from neocog.reference.arrays import Array
from neocog.reference.rule import Call, LayerResult, ReferenceRule, Sent
from neocog.reference.rule import Draw as Draw
from neocog.reference.rules import RULES

Parameters = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class ForwardPass:
    """What a forward pass computed.

    graph: the network.
    image: what it starts from: the normalised images, (N, H, W, C).
    outputs: what each layer gave, in the order of `Graph.nodes`.
    choices: for each layer, the argmax of a MaxPool2d or Maxout, the mask of what dropped, else None.
    buffers: new values of the buffers by name, such as "1.running_mean", after a training step.
    draw: the training step; None if it was a prediction.
    """

    graph: Graph
    image: Array
    outputs: tuple[Array, ...]
    choices: tuple[Array | None, ...]
    buffers: dict[str, Array]
    draw: Draw | None

    @property
    def logits(self) -> Array:
        """What the last layer gave, (N, outputs) or (N, H, W, outputs)."""
        return self.outputs[-1]

    def value(self, number: int) -> Array:
        """Return what layer `number` gave, or the image for -1."""
        return self.image if number == IMAGE else self.outputs[number]

    def inputs(self, index: int) -> tuple[Array, ...]:
        """Return what layer number `index` took."""
        return tuple(map(self.value, self.graph.nodes[index].inputs))

    def input(self, index: int) -> Array:
        """Return the first of the inputs of layer number `index`; most have no other."""
        return self.inputs(index)[0]


@dataclass(frozen=True, slots=True)
class Gradients:
    """What a backward pass computed.

    parameters: name → gradient, in memory layout.
    outputs: number of a value → its gradient, added up over its consumers, for the values that the pass went through.
        With the images, -1 is what the first layers took, after normalisation.
    image: gradient of the images' values on the scale from 0 to 1, before normalisation; None if not asked for.
    """

    parameters: dict[str, Array]
    outputs: dict[int, Array]
    image: Array | None


def normalise(graph: Graph, images: Array, dtype: np.dtype[np.generic]) -> Array:
    """Return images (N, H, W, C) as the first layer takes them: (value - mean) / std; uint8 is divided by 255 first."""
    mean, std = graph.normalisation.per_channel(graph.input.channels)
    values = images.astype(dtype)
    if images.dtype == np.uint8:
        values = values / 255
    result: Array = (values - np.array(mean, dtype)) / np.array(std, dtype)
    return result


def forward(
    graph: Graph, parameters: Parameters, images: Array, draw: Draw | None = None, *, last: int | None = None
) -> ForwardPass:
    """Run the network, in the dtype of its parameters (float64 if it has none).

    Arguments:
        graph: the network.
        parameters: name → array in memory layout, buffers too.
        images: (N, H, W, C), uint8 or in [0, 1].
        draw: the draw of a training step; None for prediction.
        last: number of the last layer that is run, -1 for none; default: all are.
    """
    if images.shape[1:] != (graph.input.height, graph.input.width, graph.input.channels):
        raise ShapeError(f"images must be (N, height, width, channels) of {graph.input}, got {images.shape}")
    dtype = np.result_type(*parameters.values()) if parameters else np.dtype(np.float64)
    image = normalise(graph, images, dtype)
    outputs: list[Array] = []
    choices: list[Array | None] = []
    buffers: dict[str, Array] = {}
    for node in graph.nodes if last is None else graph.nodes[: last + 1]:
        inputs = [image if number == IMAGE else outputs[number] for number in node.inputs]
        given = forward_node(node, parameters, inputs, draw)
        outputs.append(given.output)
        choices.append(given.choice)
        buffers |= {f"{node.name}.{name}": value for name, value in given.buffers.items()}
    return ForwardPass(graph, image, tuple(outputs), tuple(choices), buffers, draw)


def backward(
    graph: Graph,
    parameters: Parameters,
    run: ForwardPass,
    gradient: Array,
    *,
    start: int | None = None,
    image: bool = False,
) -> Gradients:
    """Follow a gradient back through the network.

    Arguments:
        graph: the network.
        parameters: those of the forward pass.
        run: the forward pass.
        gradient: of what layer number `start` gave, in its shape.
        start: default: the last layer, whose output are the logits.
        image: whether to go on to the images; otherwise values behind which nothing is learnt get no gradient.
    """
    start = len(graph.nodes) - 1 if start is None else start
    wanted = _wanted(graph, image)
    of_parameters: dict[str, Array] = {}
    of_outputs: dict[int, Array] = {start: gradient} if start in wanted else {}
    for node in reversed(graph.nodes[: start + 1]):
        if node.index not in of_outputs:
            continue
        sent = backward_node(
            node, parameters, run.inputs(node.index), run.choices[node.index], of_outputs[node.index], run.draw
        )
        of_parameters |= {f"{node.name}.{name}": value for name, value in sent.variables.items()}
        for number, part in zip(node.inputs, sent.inputs, strict=True):
            if number in wanted:
                of_outputs[number] = of_outputs[number] + part if number in of_outputs else part
    of_image = None
    if image:
        _, std = graph.normalisation.per_channel(graph.input.channels)
        # Nothing between the images and `start`: the gradient is zero.
        of_image = of_outputs.setdefault(IMAGE, np.zeros_like(run.image)) / np.array(std, gradient.dtype)
    return Gradients(of_parameters, of_outputs, of_image)


def _wanted(graph: Graph, image: bool) -> set[int]:
    """Return the values whose gradient somebody needs: a parameter before them, or who asked for the images'."""
    wanted = {IMAGE} if image else set()
    for node in graph.nodes:
        learns = any(variable.trainable for variable in node.layer.variables(*node.shapes))
        if learns or not wanted.isdisjoint(node.inputs):
            wanted.add(node.index)
    return wanted


def forward_node(node: Node, parameters: Parameters, inputs: Sequence[Array], draw: Draw | None) -> LayerResult:
    """Run one layer on its inputs."""
    return _rule(node).forward(_call(node, parameters, inputs, draw))


def backward_node(
    node: Node, parameters: Parameters, inputs: Sequence[Array], choice: Array | None, dy: Array, draw: Draw | None
) -> Sent:
    """Follow a gradient back through one layer: to each of its inputs, and to what it learns."""
    return _rule(node).backward(replace(_call(node, parameters, inputs, draw), choice=choice), dy)


def _rule(node: Node) -> ReferenceRule:
    rule = RULES.get(type(node.layer))
    if rule is None:
        raise ShapeError(f"{node.title} is unknown to the reference")
    return rule


def _call(node: Node, parameters: Parameters, inputs: Sequence[Array], draw: Draw | None) -> Call[Layer]:
    names = [variable.name for variable in node.layer.variables(*node.shapes)]
    variables = {name: parameters[f"{node.name}.{name}"] for name in names if f"{node.name}.{name}" in parameters}
    return Call(node.layer, tuple(inputs), variables, node.stream, draw)
