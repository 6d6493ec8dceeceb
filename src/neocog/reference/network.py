"""A whole network: forward, keeping every activation; backward, giving the gradients of parameters and activations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from neocog.errors import ShapeError
from neocog.nn.graph import Graph, Node
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.reference import activation, conv, linear, pool
from neocog.reference.arrays import Array

Parameters = Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Draw:
    """Which values a training step's Dropouts keep. Without one, as in prediction, they keep all."""

    seed: int
    step: int


@dataclass(frozen=True, slots=True)
class Run:
    """What a forward pass computed.

    image: what the first layer took: the normalised images, (N, H, W, C).
    outputs: what each layer gave, in the order of `Graph.nodes`.
    choices: for each layer, the winners of a MaxPool2d, the mask of a Dropout that dropped, else None.
    """

    image: Array
    outputs: tuple[Array, ...]
    choices: tuple[Array | None, ...]

    @property
    def logits(self) -> Array:
        """What the last layer gave, (N, outputs)."""
        return self.outputs[-1]

    def input(self, index: int) -> Array:
        """Return the input of layer number `index`."""
        return self.outputs[index - 1] if index else self.image


@dataclass(frozen=True, slots=True)
class Gradients:
    """What a backward pass computed.

    parameters: name → gradient, in memory layout.
    outputs: number of a layer → gradient of what it gave, for the layers that the pass went through.
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


def forward(graph: Graph, parameters: Parameters, images: Array, draw: Draw | None = None) -> Run:
    """Run the network, in the dtype of its parameters (float64 if it has none).

    Arguments:
        graph: the network.
        parameters: name → array in memory layout.
        images: (N, H, W, C), uint8 or in [0, 1].
        draw: the draw of a training step; None for prediction.
    """
    if images.shape[1:] != (graph.input.height, graph.input.width, graph.input.channels):
        raise ShapeError(f"images must be (N, height, width, channels) of {graph.input}, got {images.shape}")
    dtype = np.result_type(*parameters.values()) if parameters else np.dtype(np.float64)
    image = x = normalise(graph, images, dtype)
    outputs: list[Array] = []
    choices: list[Array | None] = []
    for node in graph.nodes:
        x, choice = forward_node(node, parameters, x, draw)
        outputs.append(x)
        choices.append(choice)
    return Run(image, tuple(outputs), tuple(choices))


def forward_node(node: Node, parameters: Parameters, x: Array, draw: Draw | None) -> tuple[Array, Array | None]:
    """Run one layer: what it gives for x, and the choice that its backward pass will need."""
    match node.layer:
        case Conv2d() as layer:
            return conv.forward(x, parameters[f"{node.name}.weight"], layer, parameters.get(f"{node.name}.bias")), None
        case Linear():
            return linear.forward(x, parameters[f"{node.name}.weight"], parameters.get(f"{node.name}.bias")), None
        case MaxPool2d() as layer:
            return pool.max_forward(x, layer)
        case AvgPool2d() as layer:
            return pool.avg_forward(x, layer), None
        case ReLU():
            return activation.relu_forward(x), None
        case Flatten():
            return x.reshape(len(x), node.output.size), None
        case Dropout() as layer:
            if draw is None:
                return x, None
            mask = activation.dropout_mask(x.shape, layer, seed=draw.seed, step=draw.step, stream=node.stream)
            return activation.dropout_forward(x, mask, layer), mask
    raise ShapeError(f"{node.title} is unknown to the reference")


def backward(
    graph: Graph,
    parameters: Parameters,
    run: Run,
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
        image: whether to go on to the images; otherwise the pass ends at the first layer with parameters.
    """
    start = len(graph.nodes) - 1 if start is None else start
    first = min((node.index for node in graph.nodes if node.weight_shape), default=len(graph.nodes))
    of_parameters: dict[str, Array] = {}
    of_outputs: dict[int, Array] = {}
    for node in reversed(graph.nodes[: start + 1]):
        if node.index < first and not image:
            break
        of_outputs[node.index] = gradient
        gradient, found = backward_node(node, parameters, run.input(node.index), run.choices[node.index], gradient)
        of_parameters |= found
    of_image = None
    if image:
        _, std = graph.normalisation.per_channel(graph.input.channels)
        of_image = gradient / np.array(std, gradient.dtype)
    return Gradients(of_parameters, of_outputs, of_image)


def backward_node(
    node: Node, parameters: Parameters, x: Array, choice: Array | None, dy: Array
) -> tuple[Array, dict[str, Array]]:
    """Follow a gradient back through one layer: that of its input x, and those of its parameters by name."""
    match node.layer:
        case Conv2d() as layer:
            dx, dw, db = conv.backward(x, parameters[f"{node.name}.weight"], dy, layer)
            return dx, _named(node, dw, db, layer.bias)
        case Linear() as layer:
            dx, dw, db = linear.backward(x, parameters[f"{node.name}.weight"], dy)
            return dx, _named(node, dw, db, layer.bias)
        case MaxPool2d() as layer:
            assert choice is not None  # forward_node always records the winners
            return pool.max_backward(x, choice, dy, layer), {}
        case AvgPool2d() as layer:
            return pool.avg_backward(x, dy, layer), {}
        case ReLU():
            return activation.relu_backward(x, dy), {}
        case Flatten():
            return dy.reshape(x.shape), {}
        case Dropout() as layer:
            return (dy if choice is None else activation.dropout_backward(choice, dy, layer)), {}
    raise ShapeError(f"{node.title} is unknown to the reference")


def _named(node: Node, dw: Array, db: Array, bias: bool) -> dict[str, Array]:
    return {f"{node.name}.weight": dw} | ({f"{node.name}.bias": db} if bias else {})
