"""Parameters between arrays in memory layout and the blocks in which programs keep them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Array
from neocog.engines.native.rounded import write_rounded
from neocog.nn.graph import Graph
from neocog.nn.parameters import Parameter, variables_of
from neocog.nn.scales import Scales
from neocog.plan.layout import Vectors
from neocog.plan.parameters import ParameterLayout, ParameterPlace


def read_parameter(flat: NDArray[np.float32], place: ParameterPlace, parameter: Parameter) -> Array:
    """Copy one parameter, or what lies in memory like it, out of a block."""
    block = flat[place.offset : place.offset + place.size]
    if isinstance(place, Vectors):
        return block[: place.channels].copy()
    view = block.reshape(place.count, place.rows, place.width)
    matrix = view.transpose(1, 0, 2).reshape(place.rows, place.count * place.width)
    return matrix[:, : place.columns].copy().reshape(parameter.shape)


def write_parameters(
    state: NDArray[np.uint8],
    layout: ParameterLayout,
    graph: Graph,
    parameters: Mapping[str, Array],
    scales: Scales | None = None,
) -> None:
    """Write all that a program that predicts reads of a network.

    Arguments:
        state: its memory, bytes.
        layout: where what lies in it.
        graph: the folded network.
        parameters: of it.
        scales: of its rounded values, where the program multiplies 8-bit integers.
    """
    flat = state.view(np.float32)
    for variable in variables_of(graph):
        if variable.name in layout.places:
            write_parameter(flat, layout, variable, parameters[variable.name])
    if scales is not None:
        write_rounded(state, layout, graph, parameters, scales)


def write_parameter(flat: NDArray[np.float32], layout: ParameterLayout, parameter: Parameter, value: Array) -> None:
    place = layout.places[parameter.name]
    block = flat[place.offset : place.offset + place.size]
    if isinstance(place, Vectors):
        block[: place.channels] = value
        return
    matrix = np.zeros((place.rows, place.count * place.width), np.float32)
    matrix[:, : place.columns] = value.reshape(place.rows, place.columns)
    block.reshape(place.count, place.rows, place.width)[...] = matrix.reshape(
        place.rows, place.count, place.width
    ).transpose(1, 0, 2)
