"""A network with every shape known: layers as nodes, joined by edges."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce

from neocog.errors import SettingError, ShapeError
from neocog.nn.blocks import Block
from neocog.nn.layer import Layer, channels_of
from neocog.nn.limits import MAX_PARAMETERS, shown
from neocog.nn.normalisation import Normalisation as Normalisation
from neocog.nn.shapes import ImageShape, Shape, checked_image_shape
from neocog.nn.symbol import Symbol
from neocog.nn.wiring import IMAGE as IMAGE
from neocog.nn.wiring import Node as Node
from neocog.nn.wiring import Wiring, child


@dataclass(frozen=True, slots=True, init=False)
class Graph(Block):
    """A network of any form without cycles, every shape known. Make one with `trace`, or from symbols:

    >>> from neocog.nn.layers import Add, Conv2d
    >>> from neocog.nn.symbol import Input
    >>> x = Input((32, 32, 3))
    >>> y = Conv2d(16, 3, padding=1)(x)
    >>> net = Graph(x, Add()(y, Conv2d(16, 1)(x)))
    >>> [node.inputs for node in net.nodes]
    [(-1,), (-1,), (0, 1)]

    A Graph is a block: it may be part of another network, at another size of image too.

    Arguments:
        input: from `Input`.
        output: what the network gives.
        normalisation: what happens to the images first; default: nothing.

    Raises:
        SettingError: the output does not depend on the input, or on another input too.
    """

    net: Layer = field(repr=False, compare=False)
    input: ImageShape
    normalisation: Normalisation
    nodes: tuple[Node, ...] = field(repr=False)
    _consumers: dict[int, tuple[int, ...]] = field(repr=False, compare=False)

    def __init__(self, input: Symbol, output: Symbol, normalisation: Normalisation | None = None) -> None:
        symbols = _ordered(input, output)
        assert isinstance(input.shape, ImageShape)
        wiring, values = Wiring(input.shape), {id(input): IMAGE}
        names: set[str] = set()
        for symbol in symbols:
            name = symbol.name or str(len(names))
            if name in names:
                raise SettingError(f"Graph: two layers are called {name!r}", hint="give each a name of its own")
            names.add(name)
            assert symbol.layer is not None
            values[id(symbol)] = symbol.layer.wire(wiring, name, tuple(values[id(x)] for x in symbol.inputs))
        _resolve(self, None, wiring, values[id(output)], normalisation)

    @classmethod
    def of(cls, wiring: Wiring, output: int, normalisation: Normalisation | None = None) -> Graph:
        """Return what was wired as a network; `output` is the number of the value that it gives."""
        graph = object.__new__(cls)
        _resolve(graph, None, wiring, output, normalisation)
        return graph

    @property
    def output(self) -> Shape:
        """The shape of what the last layer gives: a vector, or an image for networks that answer pixel by pixel."""
        return self.nodes[-1].output

    @property
    def classes(self) -> int:
        """Number of values that the last layer gives: for an image, or for each of its pixels."""
        return channels_of(self.output)

    @property
    def answer_shape(self) -> tuple[int, ...]:
        """Shape of one answer as an array: (values,), or (height, width, channels)."""
        shape = self.output
        return (shape.height, shape.width, shape.channels) if isinstance(shape, ImageShape) else (shape.features,)

    def check_classifies(self, what: str) -> None:
        """Raise ShapeError unless the network ends in a vector, one value a class, which `what` needs."""
        if isinstance(self.output, ImageShape):
            raise ShapeError(
                f"{what} needs a network that ends in a vector, one value a class, got {self.output}",
                details=(f"output: {self.nodes[-1].title}",),
                hint="end it with Flatten() or GlobalAvgPool2d(), and Linear(number of classes)",
            )

    @property
    def feature_node(self) -> int:
        """Index of the layer whose output is the features: the last one that takes an image, at the end of the
        convolutional part.
        """
        return max(n.index for n in self.nodes if any(isinstance(shape, ImageShape) for shape in n.shapes))

    def consumers(self, value: int) -> tuple[int, ...]:
        """Return the indices of the layers that take a value, in order, once for each edge; -1 is the image."""
        return self._consumers.get(value, ())

    def output_shape(self, *inputs: Shape) -> Shape:
        image = inputs[0]
        if image == self.input:
            return self.output
        if not isinstance(image, ImageShape):
            raise ShapeError(f"Graph needs an image, got {image}")
        return trace(self, image).output

    def wire(self, wiring: Wiring, name: str, inputs: tuple[int, ...]) -> int:
        """Wire all layers as they are joined here."""
        values = {IMAGE: inputs[0]}
        with wiring.nested():
            for node in self.nodes:
                sources = tuple(values[value] for value in node.inputs)
                values[node.index] = node.layer.wire(wiring, child(name, node.name), sources)
        return values[len(self.nodes) - 1]


def _ordered(source: Symbol, output: Symbol) -> list[Symbol]:
    """Return all that the output depends on, each behind its inputs, without the image."""
    for role, symbol in (("input", source), ("output", output)):
        if not isinstance(symbol, Symbol):
            raise SettingError(f"Graph: {role} must come from Input or a layer, got {shown(symbol)}")
    if source.layer is not None:
        raise SettingError(f"Graph: input must come from Input, got what {source.title} gives")
    ordered: list[Symbol] = []
    seen: set[int] = set()
    waiting = [(output, False)]
    while waiting:
        symbol, ready = waiting.pop()
        if ready:
            ordered.append(symbol)
        elif id(symbol) not in seen:
            seen.add(id(symbol))
            if symbol.layer is None:
                continue
            strangers = [x for x in symbol.inputs if x.layer is None and x is not source]
            if strangers:
                raise SettingError(
                    f"Graph: input {symbol.inputs.index(strangers[0]) + 1} of {symbol.title} is another Input than the "
                    "network's; a network has one",
                    hint="make one x = Input(...), and give it to each layer that takes the image",
                )
            waiting.append((symbol, True))
            waiting += [(x, False) for x in reversed(symbol.inputs)]
    if id(source) not in seen:
        raise SettingError(f"Graph: the input is not used: {output.title} does not depend on it")
    return ordered


def _resolve(graph: Graph, net: Layer | None, wiring: Wiring, output: int, normalisation: Normalisation | None) -> None:
    """Fill a graph in from what was wired."""
    nodes = wiring.nodes
    if not nodes or output == IMAGE:
        raise ShapeError("a network needs at least one layer, got none")
    consumers: dict[int, tuple[int, ...]] = {}
    for node in nodes:
        for value in node.inputs:
            consumers[value] = (*consumers.get(value, ()), node.index)
    for node in nodes:
        if node.index != output and node.index not in consumers:
            raise ShapeError(f"{node.title} is not used: no layer takes what it gives", hint="remove it, or join it")
    if output != len(nodes) - 1:
        raise ShapeError(f"{nodes[-1].title} is not used: the network ends in {nodes[output].title}")
    if IMAGE not in consumers:
        raise ShapeError("the image is not used: no layer takes it")
    _check_names(nodes)
    _check_totals(nodes)
    normalisation = normalisation or Normalisation()
    normalisation.per_channel(wiring.image.channels)
    resolved: dict[str, object] = {
        "net": graph if net is None else net,
        "input": wiring.image,
        "normalisation": normalisation,
        "nodes": tuple(nodes),
        "_consumers": consumers,
    }
    for key, part in resolved.items():
        object.__setattr__(graph, key, part)


def _check_names(nodes: Sequence[Node]) -> None:
    names: set[str] = set()
    for node in nodes:
        if node.name in names:
            raise ShapeError(f"two layers are called {node.name!r}", hint="give each a name of its own")
        names.add(node.name)


def _weights(node: Node) -> int:
    return sum(variable.size for variable in node.layer.variables(*node.shapes))


def _check_totals(nodes: Sequence[Node]) -> None:
    weights = reduce(operator.add, map(_weights, nodes))
    if weights > MAX_PARAMETERS:
        largest = max(nodes, key=_weights)
        raise ShapeError(
            f"a network may hold at most {MAX_PARAMETERS:,} weights, got {weights:,}",
            details=(f"{largest.title} takes {largest.input} and gives {largest.output}",),
            hint="pool more before the first Linear, or give it fewer features",
        )


def trace(
    net: Layer, input_shape: ImageShape | tuple[int, int, int], normalisation: Normalisation | None = None
) -> Graph:
    """Resolve a network against the shape of its images.

    Arguments:
        net: a block, such as a Sequential or a Graph, or a single layer.
        input_shape: (height, width, channels) of an image, pixels.
        normalisation: what happens to the images first; default: nothing.

    Raises:
        ShapeError: a layer cannot take what comes to it; the message names the layer and where its input came from.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
    >>> graph = trace(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(10)), (6, 6, 1))
    >>> [str(node.output) for node in graph.nodes][0]
    '2 channels of 4 x 4 pixels'
    """
    wiring = Wiring(checked_image_shape(input_shape))
    if not isinstance(net, Layer):
        raise SettingError(f"a network must be a layer or block, got {shown(net)}")
    graph = object.__new__(Graph)
    _resolve(graph, net, wiring, net.wire(wiring, "", (IMAGE,)), normalisation)
    return graph
