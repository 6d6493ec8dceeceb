"""A network's graph as JSON and back: its layers in order, and where each takes its inputs from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from neocog.errors import FormatError, SettingError
from neocog.model.fields import check_keys
from neocog.model.json_values import shown_value
from neocog.model.kinds import from_json, to_json
from neocog.nn.blocks import Block, Sequential
from neocog.nn.graph import Graph, Node, trace
from neocog.nn.layer import Layer
from neocog.nn.limits import MAX_DEPTH, MAX_LAYERS, fault_of_name
from neocog.nn.shapes import ImageShape
from neocog.nn.wiring import IMAGE, Wiring, child

MAX_EDGES = 10_000
"""Inputs of all layers together."""

_KEYS = ("name", "inputs", "layer")


def nodes_to_json(graph: Graph) -> list[dict[str, object]]:
    """Return the layers of a network as JSON values.

    Raises:
        SettingError: files do not know a kind of layer, or cannot hold a name; or there are too many edges.

    >>> from neocog.nn.layers import Flatten, Linear
    >>> nodes_to_json(trace(Sequential(Flatten(), Linear(2)), (1, 2, 1)))[0]
    {'name': '0', 'inputs': [-1], 'layer': {'kind': 'Flatten'}}
    """
    edges = sum(len(node.inputs) for node in graph.nodes)
    if edges > MAX_EDGES:
        raise SettingError(f"a network can be saved with at most {MAX_EDGES:,} edges between layers, got {edges:,}")
    for node in graph.nodes:
        fault = fault_of_name(node.name)
        if fault is not None:
            raise SettingError(f"{node.title} cannot be saved: {fault}", hint="give the layer another name")
    return [{"name": node.name, "inputs": list(node.inputs), "layer": to_json(node.layer)} for node in graph.nodes]


def net_from_json(data: object, image: ImageShape, where: str = "nodes") -> Layer:
    """Make a network of what `nodes_to_json` gave: a Sequential where its layers follow each other, else a Graph.

    Arguments:
        data: JSON values, from anywhere.
        image: the shape of the network's images.
        where: what messages call this place of the file.

    Raises:
        FormatError: the values are no layers, or an edge leads nowhere, or back.
        ShapeError: the layers do not fit together; the message names the layer and where its inputs come from.
    """
    if not isinstance(data, list):
        raise FormatError(f"{where} must be a list, got {shown_value(data)}")
    if len(data) > MAX_LAYERS:
        raise FormatError(f"{where} may hold at most {MAX_LAYERS:,} layers, got {len(data):,}")
    entries = [check_keys(f"{where}[{index}]", entry, _KEYS) for index, entry in enumerate(data)]
    names = [_read_name(f"{where}[{index}].name", entry["name"]) for index, entry in enumerate(entries)]
    parts = []
    for index, entry in enumerate(entries):
        place = f"{where}[{index}]"
        layer = from_json(Layer, entry["layer"], f"{place}.layer")
        if isinstance(layer, Block):
            raise FormatError(f"{place}.layer must be a single layer, got a {type(layer).__name__}")
        inputs = _read_inputs(f"{place}.inputs", f"layer {names[index]}", entry["inputs"], index, names)
        parts.append(_Part(names[index], layer, inputs))
    edges = sum(len(part.inputs) for part in parts)
    if edges > MAX_EDGES:
        raise FormatError(f"{where} may have at most {MAX_EDGES:,} inputs in all, got {edges:,}")
    graph = trace(_Parts(tuple(parts)), image)
    return _sequential(graph.nodes) or graph


def _read_name(where: str, value: object) -> str:
    if not isinstance(value, str):
        raise FormatError(f"{where} must be a text, got {shown_value(value)}")
    fault = fault_of_name(value)
    if fault is not None:
        raise FormatError(f"{where}: {fault}")
    return value


def _read_inputs(where: str, title: str, value: object, index: int, names: list[str]) -> tuple[int, ...]:
    """Return the numbers of a layer's inputs, or raise FormatError, which names the edge, unless all lie before it."""
    if not isinstance(value, list) or not value:
        raise FormatError(f"{where} of {title} must be a list of numbers, got {shown_value(value)}")
    if len(value) > MAX_EDGES:
        raise FormatError(f"{where} of {title} may hold at most {MAX_EDGES:,} numbers, got {len(value):,}")
    for position, source in enumerate(value):
        edge = f"{where}[{position}] of {title}"
        if type(source) is not int:
            raise FormatError(
                f"{edge} must be the number of a layer, or {IMAGE} for the image, got {shown_value(source)}"
            )
        if not IMAGE <= source < len(names):
            raise FormatError(f"{edge} must lie between {IMAGE} and {len(names) - 1}, got {shown_value(source)}")
        if source == index:
            raise FormatError(f"{edge} is the layer itself; a network has no cycles")
        if source > index:
            raise FormatError(
                f"{edge} is layer {names[source]}, which comes behind it; a network has no cycles",
                hint="list layers behind all that they take",
            )
    return tuple(value)


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    layer: Layer
    inputs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Parts(Block):
    """Layers joined as a file says."""

    parts: tuple[_Part, ...]

    def wire(self, wiring: Wiring, name: str, inputs: tuple[int, ...]) -> int:
        values = {IMAGE: inputs[0]}
        for index, part in enumerate(self.parts):
            sources = tuple(values[source] for source in part.inputs)
            values[index] = wiring.add(part.layer, child(name, part.name), sources)
        return values[len(self.parts) - 1]


def _sequential(nodes: tuple[Node, ...]) -> Sequential | None:
    """Return layers that follow each other as the Sequential that gave them their names, if there is one."""
    if any(node.inputs != (node.index - 1,) for node in nodes):
        return None
    return _nested([(node.name.split("."), node.layer) for node in nodes], 0)


def _nested(parts: list[tuple[list[str], Layer]], depth: int) -> Sequential | None:
    """Return the Sequential whose layers have these paths: "0", "1", then within it "2.0", "2.1"."""
    items: list[Layer] = []
    if depth == MAX_DEPTH:
        return None
    for place, group in groupby(parts, key=lambda part: part[0][0]):
        inside = [(path[1:], layer) for path, layer in group]
        if place != str(len(items)):
            return None
        if all(path for path, _ in inside):
            inner: Layer | None = _nested(inside, depth + 1)
        else:
            inner = inside[0][1] if len(inside) == 1 else None
        if inner is None:
            return None
        items.append(inner)
    return Sequential(*items)
