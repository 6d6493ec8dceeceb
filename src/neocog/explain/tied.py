"""A convolution is a fully connected layer with most edges cut and the rest tied: its matrix, its edges, their counts.

Inputs and outputs are numbered in (row, column, channel) order, as neocog lays images out in memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.explain.lens import channels_seen, coordinates
from neocog.explain.subject import Array, Subject, check_index, image_output, layer_node
from neocog.explain.trace import Trace
from neocog.nn.layers import Conv2d, Linear
from neocog.nn.shapes import ImageShape
from neocog.nn.summary import WeightCounts

CUT = 4  # outputs along each side of a cut: 16 units, as in the 6 × 6 example

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TiedMatrix:
    """A layer as a sparse matrix, outputs × inputs: one entry an edge, each knowing which weight it shares.

    outputs, inputs: (E,) the units that an edge joins.
    ties: (E,) the place of its weight in the layer's flattened weights (r, s, C, K): edges of one tie are one weight.
    values: (E,) the weights.
    bias: (outputs,) what is added to each; zeros without one.
    has_bias: whether the layer adds one.
    shape: (outputs, inputs).
    filters: how many there are; of a Linear, the number of outputs. Outputs of one filter share one bias.

    `matrix @ x.ravel() + matrix.bias` is what the layer gives for an image x (H, W, C).
    """

    outputs: Indices
    inputs: Indices
    ties: Indices
    values: Array
    bias: Array
    has_bias: bool
    shape: tuple[int, int]
    filters: int

    def toarray(self) -> Array:
        """Write the matrix out, zeros included: (outputs, inputs)."""
        dense = np.zeros(self.shape)
        np.add.at(dense, (self.outputs, self.inputs), self.values)
        return dense

    def __matmul__(self, x: Array) -> Array:
        """Multiply by a vector (inputs,)."""
        return np.asarray(np.bincount(self.outputs, self.values * x[self.inputs], self.shape[0]), np.float64)

    def counts(self, *, bias: bool = True) -> WeightCounts:
        """Count the weights three ways, by enumeration of the edges: all pairs, the edges, the different ties."""
        own, tied = (self.shape[0], self.filters) if bias and self.has_bias else (0, 0)
        return WeightCounts(self.shape[0] * self.shape[1] + own, len(self.ties) + own, len(np.unique(self.ties)) + tied)


def as_fully_connected(model: Subject, layer: int | str) -> TiedMatrix:
    """Return the fully connected layer that a convolution is.

    Arguments:
        model: any neocog model.
        layer: index or name of a Conv2d, or of a Linear, which is one already.

    Returns:
        TiedMatrix. It has an entry for each pair of output and tap on the image: outputs × r·s·C at most.

    Raises:
        SettingError: there is no such layer.

    >>> from neocog.explain.lesson import lesson_model
    >>> matrix = as_fully_connected(lesson_model(), 0)
    >>> matrix.toarray().shape, matrix.counts()
    ((32, 36), WeightCounts(fully_connected=1152, local=288, shared=18))
    """
    node = layer_node(model, layer, Conv2d, Linear)
    weight = np.asarray(model.parameters[f"{node.name}.weight"], np.float64)
    stored = model.parameters.get(f"{node.name}.bias")
    size = (node.output.size, node.input.size)
    filters = weight.shape[-1]
    bias = np.zeros(size[0]) if stored is None else np.tile(np.asarray(stored, np.float64), size[0] // filters)
    if isinstance(node.layer, Linear):
        outputs, inputs = (index.ravel() for index in np.indices(size))
        ties = inputs * filters + outputs
    else:
        assert isinstance(node.layer, Conv2d)
        assert isinstance(node.input, ImageShape)
        outputs, inputs, ties = _edges(node.layer, node.input, weight.shape)
    return TiedMatrix(outputs, inputs, ties, weight.ravel()[ties], bias, stored is not None, size, filters)


def _edges(layer: Conv2d, shape: ImageShape, weight: tuple[int, ...]) -> tuple[Indices, Indices, Indices]:
    """List the edges of a convolution, in the order of outputs, then of taps."""
    walk = layer.window_over(shape)
    r, s, channels, filters = weight
    rows = coordinates(walk.vertical, np.arange(walk.vertical.output))[:, None, None, :, None, None]
    columns = coordinates(walk.horizontal, np.arange(walk.horizontal.output))[None, :, None, None, :, None]
    channel = np.arange(channels)
    number = np.arange(filters)[None, None, :, None, None, None]
    on_image = (rows >= 0) & (rows < shape.height) & (columns >= 0) & (columns < shape.width)
    p = np.arange(walk.vertical.output)[:, None, None, None, None, None]
    q = np.arange(walk.horizontal.output)[None, :, None, None, None, None]
    taps = np.arange(r)[:, None, None] * s + np.arange(s)[None, :, None]
    full = (walk.vertical.output, walk.horizontal.output, filters, r, s, channels)
    keep = np.broadcast_to(on_image, full)
    outputs = np.broadcast_to((p * walk.horizontal.output + q) * filters + number, full)[keep]
    first = np.array([channels_seen(layer, shape, k).start for k in range(filters)])[None, None, :, None, None, None]
    inputs = np.broadcast_to((rows * shape.width + columns) * shape.channels + first + channel, full)[keep]
    ties = np.broadcast_to((taps * channels + channel) * filters + number, full)[keep]
    return outputs, inputs, ties


@dataclass(frozen=True, slots=True)
class Cut:
    """A block of one filter's outputs, and the inputs of one channel that it looks at, small enough to draw.

    edges: (E, 3) output unit, input unit, tap; in the order of outputs. Units are numbered row by row in their boxes.
    weights: (r, s) of this channel and filter; `original`: before a tap was replaced.
    inputs: (h, w) values; padding is 0. inputs_inside: (h, w) False for padding.
    outputs: (p, q) sums over these edges alone: without bias and other channels. original_outputs: likewise.
    input_box: top, left, h, w on the layer's input; may reach into padding. output_box: row, column, p, q.
    counts, counts_with_bias: of the cut: all pairs, edges, different taps.
    whole: whether the cut is all that this channel and filter have.
    """

    edges: Indices
    weights: Array
    original: Array
    inputs: Array
    inputs_inside: NDArray[np.bool_]
    outputs: Array
    original_outputs: Array
    input_box: tuple[int, int, int, int]
    output_box: tuple[int, int, int, int]
    counts: WeightCounts
    counts_with_bias: WeightCounts
    whole: bool


def cut(
    traced: Trace,
    index: int,
    filter: int,
    channel: int,
    row: int,
    column: int,
    *,
    tap: int | None = None,
    value: float = 0.0,
) -> Cut:
    """Cut a drawable piece out of a convolution.

    Arguments:
        traced: an image's way through the network.
        index: of a Conv2d.
        filter, channel: which filter, on which channel of those that it looks at: all of its input's, or its group's.
        row, column: of the first output; the block has up to 4 × 4, and moves in from the edge to fill up.
        tap: a weight to replace, counted row by row in the filter; None: none.
        value: its new value.
    """
    node = traced.graph.nodes[index]
    layer, shape = node.layer, node.input
    assert isinstance(layer, Conv2d)  # callers find the layer by its kind
    assert isinstance(shape, ImageShape)
    output = image_output(node)
    seen = channels_seen(layer, shape, filter)
    check_index("channel", channel, seen.stop - seen.start)
    walk = layer.window_over(shape)
    p, q = min(CUT, output.height), min(CUT, output.width)
    row, column = min(row, output.height - p), min(column, output.width - q)
    rows = coordinates(walk.vertical, np.arange(row, row + p))
    columns = coordinates(walk.horizontal, np.arange(column, column + q))
    top, left = int(rows.min()), int(columns.min())
    h, w = int(rows.max()) - top + 1, int(columns.max()) - left + 1
    box_rows, box_columns = np.arange(top, top + h), np.arange(left, left + w)
    inside = ((box_rows >= 0) & (box_rows < shape.height))[:, None] & ((box_columns >= 0) & (box_columns < shape.width))
    values = traced.input(index)[..., seen.start + channel]
    clipped = np.clip(box_rows, 0, shape.height - 1)[:, None], np.clip(box_columns, 0, shape.width - 1)[None, :]
    inputs = np.where(inside, values[clipped], 0.0)
    original = traced.parameters[f"{node.name}.weight"][:, :, channel, filter]
    weights = original.copy()
    if tap is not None:
        weights.flat[check_index("tap", tap, weights.size)] = value
    edges = []
    for a in range(p):
        for b in range(q):
            for t in range(weights.size):
                y, x = rows[a, t // weights.shape[1]] - top, columns[b, t % weights.shape[1]] - left
                if inside[y, x]:
                    edges.append((a * q + b, int(y) * w + int(x), t))
    joined = np.array(edges, np.int64).reshape(-1, 3)

    def sums(of: Array) -> Array:
        with np.errstate(all="ignore"):
            terms = inputs.ravel()[joined[:, 1]] * of.ravel()[joined[:, 2]]
        return np.asarray(np.bincount(joined[:, 0], terms, p * q), np.float64).reshape(p, q)

    pairs, units = p * q * int(inside.sum()), p * q
    different = len(np.unique(joined[:, 2]))
    return Cut(
        joined,
        weights,
        original,
        inputs,
        inside,
        sums(weights),
        sums(original),
        (top, left, h, w),
        (row, column, p, q),
        WeightCounts(pairs, len(joined), different),
        WeightCounts(pairs + units, len(joined) + units, different + 1),
        (p, q) == (output.height, output.width),
    )
