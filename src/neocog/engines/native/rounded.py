"""Weights rounded to 8-bit integers and brought into the order in which programs read them, with biases and scales."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Array
from neocog.nn.graph import Graph, Node
from neocog.nn.layers import Conv2d
from neocog.nn.scales import SIGNED_LIMIT, Scales, weight_scales
from neocog.plan.blocked import PANEL, TILE_ROWS, TILE_WIDTH
from neocog.plan.layout import Panels, Vectors
from neocog.plan.parameters import ParameterLayout
from neocog.plan.rounded import TOGETHER, words_of
from neocog.plan.rounded_parameters import RoundedWeights


def write_rounded(
    state: NDArray[np.uint8], layout: ParameterLayout, graph: Graph, parameters: Mapping[str, Array], scales: Scales
) -> None:
    """Write what products of 8-bit integers need.

    Arguments:
        state: the memory of parameters, bytes.
        layout: where what lies in it.
        graph: the folded network.
        parameters: of it, in float32.
        scales: of its rounded values.
    """
    floats = state.view(np.float32)
    for value, rounding in layout.roundings.items():
        scale = scales.of(graph, value)
        floats[rounding.scale.start], floats[rounding.inverse.start] = scale, np.float32(1) / scale
    for node in graph.nodes:
        if node.name in layout.rounded:
            _write_layer(state, layout.rounded[node.name], graph, node, parameters, scales)


def _write_layer(
    state: NDArray[np.uint8],
    place: RoundedWeights,
    graph: Graph,
    node: Node,
    parameters: Mapping[str, Array],
    scales: Scales,
) -> None:
    weight, bias = np.asarray(parameters[f"{node.name}.weight"], np.float32), parameters.get(f"{node.name}.bias")
    of_input = scales.of(graph, place.source)
    steps = weight_scales(weight, bias, of_input)
    whole = np.clip(np.rint(weight / steps), -SIGNED_LIMIT, SIGNED_LIMIT).astype(np.int8)
    groups = node.layer.groups if isinstance(node.layer, Conv2d) else 1
    matrix = whole.reshape(-1, whole.shape[-1])
    sums = matrix.sum(axis=0, dtype=np.int64)
    shift = np.zeros(len(sums)) if bias is None else np.rint(bias / (np.float64(of_input) * steps))
    _write_vector(state.view(np.int32), place.bias, (shift - place.shift * sums).astype(np.int32))
    _write_vector(state.view(np.float32), place.multipliers, of_input * steps)
    filters = matrix.shape[1] // groups
    for number, block in enumerate(place.blocks):
        first = number * place.groups
        columns = matrix[:, first * filters : first * filters + block.columns]
        if place.by_channel:
            _write_panels(state, block, columns[:, :, None])
        else:
            spread = columns if groups == 1 else _spread(columns, filters, place.lines)
            elements = _words(spread, place.lines, TILE_WIDTH // TOGETHER if place.tiles else 1)
            _write_panels(state, block, _in_tiles(elements, place.lines) if place.tiles else elements)


def _write_vector(memory: NDArray[np.generic], place: Vectors, values: NDArray[np.generic]) -> None:
    memory[place.offset : place.offset + place.channels] = values


def _spread(columns: NDArray[np.int8], filters: int, taps: int) -> NDArray[np.int8]:
    """Return the weights of a block of groups as a matrix: zeros where a filter does not see a channel.

    Arguments:
        columns: (taps · channels of a group, filters of the block).
        filters: of a group.
        taps: of a filter.
    """
    count, inputs = columns.shape[1] // filters, columns.shape[0] // taps
    spread = np.zeros((taps, count * inputs, columns.shape[1]), np.int8)
    for group in range(count):
        own = slice(group * filters, (group + 1) * filters)
        spread[:, group * inputs : (group + 1) * inputs, own] = columns[:, own].reshape(taps, inputs, filters)
    return spread.reshape(-1, columns.shape[1])


def _words(matrix: NDArray[np.int8], lines: int, multiple: int) -> NDArray[np.int8]:
    """Return (words, filters, bytes of a word): each line filled up to whole words, and to a multiple of them."""
    length, columns = matrix.shape[0] // lines, matrix.shape[1]
    words = -(-words_of(length) // multiple) * multiple
    full = np.zeros((lines, words * TOGETHER, columns), np.int8)
    full[:, :length] = matrix.reshape(lines, length, columns)
    return full.reshape(lines * words, TOGETHER, columns).transpose(0, 2, 1)


def _in_tiles(words: NDArray[np.int8], lines: int) -> NDArray[np.int8]:
    """Return words of lines in the order of tiles, in rows as long as a panel: of each row of tiles all lines, of each
    line 16 filters and then 16 more.
    """
    tile = TILE_WIDTH // TOGETHER
    filters = -(-words.shape[1] // PANEL) * PANEL
    full = np.zeros((len(words), filters, TOGETHER), np.int8)
    full[:, : words.shape[1]] = words
    apart = full.reshape(lines, -1, tile, filters // PANEL, PANEL // TILE_ROWS, TILE_ROWS, TOGETHER)
    # (plane, line, half, word, panel, filter, byte): a row of PANEL words is two of a tile
    ordered = apart.transpose(1, 0, 4, 2, 3, 5, 6).reshape(
        -1, PANEL // TILE_ROWS, filters // PANEL, TILE_ROWS, TOGETHER
    )
    return ordered.transpose(0, 2, 1, 3, 4).reshape(len(words), filters, TOGETHER)


def _write_panels(state: NDArray[np.uint8], place: Panels, elements: NDArray[np.int8]) -> None:
    """Write a matrix, whose elements consist of bytes, panel by panel."""
    rows, columns, together = elements.shape
    full = np.zeros((rows, place.count * place.width, together), np.int8)
    full[:, :columns] = elements
    first = place.offset * place.bytes_each
    block = state.view(np.int8)[first : first + place.size * place.bytes_each]
    panels = full.reshape(rows, place.count, place.width, together).transpose(1, 0, 2, 3)
    block[...] = panels.reshape(-1)
