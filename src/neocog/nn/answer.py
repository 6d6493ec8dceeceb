"""Answers: that of a network that is not certain enough, and where the answer of a filter is read."""

from __future__ import annotations

from neocog.nn.graph import Graph
from neocog.nn.layers import Activation, BatchNorm2d, Conv2d, PReLU

UNKNOWN = -1
"""The class index of an image whose answer is "unknown"."""

ACTIVATIONS = (Activation, PReLU)
"""Layers that map each value to another, whatever its neighbours are."""


def answer_path(graph: Graph, index: int) -> tuple[int, ...]:
    """Return a layer and what belongs to it: the BatchNorm2d directly behind it, and the activation behind that.

    A layer belongs to the one before where it alone takes what that one gives. The last of the path gives the maps at
    which a filter's answer is read.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.graph import trace
    >>> from neocog.nn.layers import Conv2d, ReLU
    >>> graph = trace(Sequential(Conv2d(2, 3), BatchNorm2d(), ReLU(), ReLU()), (6, 6, 1))
    >>> answer_path(graph, 0), answer_path(graph, 1)
    ((0, 1, 2), (1, 2))
    """
    path = [index]
    for kinds in ((BatchNorm2d,), ACTIVATIONS):
        behind = only_consumer(graph, path[-1])
        if behind is not None and isinstance(graph.nodes[behind].layer, kinds):
            path.append(behind)
    return tuple(path)


def peak_sources(graph: Graph) -> dict[int, int]:
    """Return for each convolution, by its index in `graph.nodes`, which layer gives the maps whose peaks are meant: the
    last of its `answer_path`.
    """
    return {node.index: answer_path(graph, node.index)[-1] for node in graph.nodes if isinstance(node.layer, Conv2d)}


def activation_behind(graph: Graph, index: int) -> int | None:
    """Return the index of the activation that alone takes what a layer gives, or None."""
    behind = only_consumer(graph, index)
    return behind if behind is not None and isinstance(graph.nodes[behind].layer, ACTIVATIONS) else None


def only_consumer(graph: Graph, value: int) -> int | None:
    """Return the index of the one layer that takes a value; None where there is no such layer, or several edges."""
    consumers = graph.consumers(value)
    return consumers[0] if len(consumers) == 1 else None
