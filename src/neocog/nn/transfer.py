"""Networks made of parts of others: up to a layer, with a new head, with frozen normalizations.

The head of a network is the last layer with weights that all the rest goes through, such as the Linear that gives the
classes; the body is what stands before it, and what the body gives are the features that a new head is trained on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from neocog.errors import SettingError
from neocog.nn.graph import IMAGE, Graph
from neocog.nn.layer import Layer
from neocog.nn.layers import BatchNorm2d, Conv2d, Dropout, Dropout2d, Flatten, GlobalAvgPool2d, Linear
from neocog.nn.limits import shown
from neocog.nn.shapes import ImageShape
from neocog.nn.wiring import Node, Wiring

HEAD, POOL, FLATTEN = "head", "pool", "features"
"""Names of layers that the original has not."""


@dataclass(frozen=True, slots=True)
class Head:
    """Where a network's head begins.

    Arguments:
        body: index of the layer that gives the features.
        name: of the layer that gives the classes; a new head takes it over.
        between: what stands between the two and does nothing where the network predicts.
    """

    body: int
    name: str
    between: tuple[Node, ...]


def head_of(graph: Graph) -> Head:
    """Find the head of a network.

    Where no last layer with weights takes all, as in networks that end in features, the head is still to come.

    Raises:
        SettingError: it has no body.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.graph import trace
    >>> net = Sequential(Conv2d(4, 3), GlobalAvgPool2d(), Dropout(0.5), Linear(10))
    >>> head_of(trace(net, (6, 6, 1))).body, head_of(trace(net, (6, 6, 1))).name
    (1, '3')
    """
    nodes = graph.nodes
    last = max((node.index for node in nodes if isinstance(node.layer, Linear | Conv2d)), default=None)
    if last is None or any(value < last for node in nodes[last + 1 :] for value in node.inputs):
        return Head(len(nodes) - 1, _unused(graph, HEAD), ())
    body, between = nodes[last].inputs[0], []
    while body != IMAGE and isinstance(nodes[body].layer, Dropout | Dropout2d):
        between.append(nodes[body])
        body = nodes[body].inputs[0]
    if body == IMAGE:
        raise SettingError(
            f"a new head needs a network with layers before it, got {nodes[last].title} alone",
            hint="train this network with fit",
        )
    return Head(body, nodes[last].name, tuple(reversed(between)))


def with_head(graph: Graph, classes: int) -> Graph:
    """Return a network with a new Linear in place of its head, behind a GlobalAvgPool2d where the features are images.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.graph import trace
    >>> net = Sequential(Conv2d(4, 3), GlobalAvgPool2d(), Linear(1000))
    >>> with_head(trace(net, (6, 6, 1)), 3).classes
    3
    """
    head = head_of(graph)
    wiring, values = _wired(graph, head.body)
    x = values[head.body]
    for node in head.between:
        x = wiring.add(node.layer, node.name, (x,))
    if isinstance(wiring.shape(x), ImageShape):
        x = wiring.add(GlobalAvgPool2d(), _unused(graph, POOL), (x,))
    return Graph.of(wiring, wiring.add(Linear(classes), head.name, (x,)), graph.normalisation)


def head_alone(graph: Graph) -> Graph:
    """Return the head of a network that `with_head` gave as a network of its own, for images of 1 x 1 pixels with the
    features as channels. Its parameters have the names that they have there.
    """
    head, last = head_of(graph), graph.nodes[-1]
    wiring = Wiring(ImageShape(1, 1, features_of(graph)))
    flat = wiring.add(Flatten(), FLATTEN if head.name != FLATTEN else POOL, (IMAGE,))
    return Graph.of(wiring, wiring.add(last.layer, last.name, (flat,)))


def features_of(graph: Graph) -> int:
    """Return how many features a network that `with_head` gave has."""
    return graph.nodes[-1].input.size


def up_to(graph: Graph, layer: str | int, *, pooled: bool = False) -> Graph:
    """Return the network that ends in a layer, with the names that layers have there.

    Arguments:
        graph: the whole.
        layer: the name or the index of a layer.
        pooled: whether the mean of each channel over all pixels is given, where the layer gives an image.

    Raises:
        SettingError: there is no such layer.
    """
    node = node_of(graph, layer)
    wiring, values = _wired(graph, node.index)
    x = values[node.index]
    if pooled and isinstance(node.output, ImageShape):
        x = wiring.add(GlobalAvgPool2d(), _unused(graph, POOL), (x,))
    return Graph.of(wiring, x, graph.normalisation)


def node_of(graph: Graph, layer: str | int) -> Node:
    """Return a layer by its name, or by its index.

    Raises:
        SettingError: there is no such layer.
    """
    count = len(graph.nodes)
    if isinstance(layer, int | np.integer) and not isinstance(layer, bool) and -count <= layer < count:
        return graph.nodes[layer]
    for node in graph.nodes:
        if node.name == layer:
            return node
    names = [node.title.removeprefix("layer ") for node in graph.nodes]
    raise SettingError(
        f"there is no layer {shown(layer)}",
        details=(f"layers: {', '.join(names[:12])}{f' and {len(names) - 12} more' if len(names) > 12 else ''}",),
        hint="neocog info MODEL lists them",
    )


def with_norms(graph: Graph, *, frozen: bool) -> Graph:
    """Return a network whose BatchNorm2d layers all take their own statistics while training, or those of the batch."""

    def changed(layer: Layer) -> Layer:
        return replace(layer, frozen=frozen) if isinstance(layer, BatchNorm2d) else layer

    if all(changed(node.layer) == node.layer for node in graph.nodes):
        return graph
    wiring, values = _wired(graph, len(graph.nodes) - 1, changed)
    return Graph.of(wiring, values[len(graph.nodes) - 1], graph.normalisation)


def _wired(
    graph: Graph, last: int, changed: Callable[[Layer], Layer] = lambda layer: layer
) -> tuple[Wiring, dict[int, int]]:
    """Wire all that a layer depends on, itself included; also return the numbers that values have now."""
    needed = {last}
    for node in reversed(graph.nodes[: last + 1]):
        if node.index in needed:
            needed.update(node.inputs)
    wiring, values = Wiring(graph.input), {IMAGE: IMAGE}
    for node in graph.nodes[: last + 1]:
        if node.index in needed:
            inputs = tuple(values[value] for value in node.inputs)
            values[node.index] = wiring.add(changed(node.layer), node.name, inputs)
    return wiring, values


def _unused(graph: Graph, name: str) -> str:
    """Return a name that no layer has, and none stands below."""
    taken = {node.name for node in graph.nodes}
    while any(one == name or one.startswith(f"{name}.") for one in taken):
        name += "_"
    return name
