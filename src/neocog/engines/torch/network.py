"""A whole Graph as one torch.nn.Module, whose submodules carry the names of our layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.fx
from numpy.typing import NDArray

from neocog.engines.torch.modules import RULES
from neocog.errors import EngineError
from neocog.nn.graph import IMAGE, Graph
from neocog.nn.parameters import check_parameters, to_pytorch, variables_of


def build_module(graph: Graph, parameters: Mapping[str, NDArray[np.generic]]) -> Any:
    """Write a network as a torch.fx.GraphModule that takes normalised images (N, C, H, W).

    Its parameters and buffers carry the names of our state dict, so that one loads into the other as is.

    Arguments:
        graph: the network.
        parameters: name → array, in memory layout, buffers too.
    """
    check_parameters(graph, parameters)
    root = torch.nn.Module()
    for node in graph.nodes:
        make = RULES.get(type(node.layer))
        if make is None:
            raise EngineError(f"{node.title} is unknown to the torch engine")
        *blocks, name = node.name.split(".")
        place = root
        try:
            for block in blocks:
                if block not in dict(place.named_children()):
                    place.add_module(block, torch.nn.Module())
                place = place.get_submodule(block)
            place.add_module(name, make(node.layer, node))
        except KeyError:  # PyTorch's modules have attributes of their own, such as "forward"
            raise EngineError(f"{node.title} cannot be called so in PyTorch", hint="give it another name") from None
    module = restricted(root, graph)
    module.load_state_dict(tensors(graph, parameters))
    return module


def restricted(module: Any, graph: Graph, wanted: Sequence[int] | None = None) -> Any:
    """Return a module that shares a network's layers, but computes some values only.

    Arguments:
        module: whose submodules have the names of the network's layers.
        graph: the network.
        wanted: numbers of layers, whose values the module gives as a tuple; None for the last one's alone.
    """
    last = len(graph.nodes) - 1
    needed = {last} if wanted is None else set(wanted)
    for node in reversed(graph.nodes):
        if node.index in needed:
            needed.update(node.inputs)
    program = torch.fx.Graph()
    values = {IMAGE: program.placeholder("images")}
    for node in graph.nodes:
        if node.index in needed:
            values[node.index] = program.call_module(node.name, tuple(values[number] for number in node.inputs))
    program.output(values[last] if wanted is None else tuple(values[number] for number in wanted))
    return torch.fx.GraphModule(module, program, "Network")


def tensors(graph: Graph, parameters: Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
    """Return a network's arrays in PyTorch's layout."""
    return {p.name: torch.tensor(to_pytorch(p, parameters[p.name])) for p in variables_of(graph)}
