"""The arithmetic of a convolution, window by window: input × filter = products, added up to the output."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.explain.subject import Array, Subject, check_index, image_output, layer_node
from neocog.explain.trace import Trace, trace
from neocog.nn.answer import activation_behind
from neocog.nn.layers import Conv2d
from neocog.nn.shapes import ImageShape
from neocog.nn.window import WindowAxis


@dataclass(frozen=True, slots=True)
class Windows:
    """All windows of one output row of a convolution, for one filter; Q windows of r × s cells on C channels.

    window: (Q, r, s, C) what the windows see; padding is 0. In a convolution of groups, C are those of the filter's.
    inside: (Q, r, s) whether a cell lies on the image rather than on its padding.
    rows: (r,) input row of each window row; below 0 or past the end in padding.
    columns: (Q, s) input column of each window column.
    filter: (r, s, C) weights, as they are multiplied: nothing is flipped (a correlation).
    products: (Q, r, s, C) window × filter.
    first_channel: of the input, the one that comes first in a window; 0 without groups.
    channel_sums: (Q, C) products added up within each channel.
    running: (Q, C) channel sums added up from the first channel on.
    bias: added once; 0 without one.
    total: (Q,) what the layer gives.
    activated: (Q,) after the activation directly behind it; without one, `total`.
    activation: index of that layer, or None.
    """

    window: Array
    inside: NDArray[np.bool_]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    filter: Array
    products: Array
    first_channel: int
    channel_sums: Array
    running: Array
    bias: float
    total: Array
    activated: Array
    activation: int | None


@dataclass(frozen=True, slots=True)
class WindowTerms:
    """One window of a convolution, for one filter; fields as in `Windows`, without the leading Q."""

    window: Array
    inside: NDArray[np.bool_]
    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    filter: Array
    products: Array
    first_channel: int
    channel_sums: Array
    running: Array
    bias: float
    total: float
    activated: float


def coordinates(axis: WindowAxis, outputs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the input rows (or columns) that windows meet: (outputs, taps); below 0 or past the end in padding."""
    taps = np.arange(axis.kernel) * axis.dilation
    return outputs[:, None] * axis.stride - axis.before + taps[None, :]


def channels_seen(layer: Conv2d, shape: ImageShape, filter: int) -> slice:
    """Return the channels of an input of shape `shape` that a filter looks at: those of its group."""
    each, group = shape.channels // layer.groups, filter // (layer.channels // layer.groups)
    return slice(group * each, (group + 1) * each)


def windows_of_row(traced: Trace, index: int, filter: int, row: int) -> Windows:
    """Take all windows of one output row apart.

    Arguments:
        traced: an image's way through the network.
        index: of a Conv2d.
        filter: which of its filters.
        row: of the output.
    """
    node = traced.graph.nodes[index]
    layer, shape = node.layer, node.input
    assert isinstance(layer, Conv2d)  # callers find the layer by its kind
    assert isinstance(shape, ImageShape)
    walk = layer.window_over(shape)
    rows = coordinates(walk.vertical, np.array([row]))[0]
    columns = coordinates(walk.horizontal, np.arange(walk.horizontal.output))
    seen_rows = (rows >= 0) & (rows < shape.height)
    seen_columns = (columns >= 0) & (columns < shape.width)
    inside = seen_rows[None, :, None] & seen_columns[:, None, :]
    clipped = np.clip(rows, 0, shape.height - 1)[None, :, None], np.clip(columns, 0, shape.width - 1)[:, None, :]
    seen = channels_seen(layer, shape, filter)
    window = np.where(inside[..., None], traced.input(index)[clipped][..., seen], 0.0)
    weight = traced.parameters[f"{node.name}.weight"][..., filter]
    bias = float(traced.parameters[f"{node.name}.bias"][filter]) if layer.bias else 0.0
    with np.errstate(all="ignore"):
        products = window * weight + 0.0  # which makes 0 of -0
        channel_sums = products.sum(axis=(1, 2))
        running = channel_sums.cumsum(axis=1)
    behind = activation_behind(traced.graph, index)
    total = traced.output(index)[row, :, filter]
    activated = total if behind is None else traced.output(behind)[row, :, filter]
    return Windows(
        window,
        inside,
        rows,
        columns,
        weight,
        products,
        seen.start,
        channel_sums,
        running,
        bias,
        total,
        activated,
        behind,
    )


def window(model: Subject, image: NDArray[Any], layer: int | str, filter: int, row: int, column: int) -> WindowTerms:
    """Take one window of a convolution apart, down to each multiplication.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1].
        layer: index or name of a Conv2d.
        filter: which of its filters, from 0.
        row, column: position in the output, from 0.

    Returns:
        WindowTerms: `products.sum() + bias` is `total`, up to rounding in float64.

    Raises:
        SettingError: there is no such layer, filter or position.

    >>> from neocog.explain.lesson import lesson_image, lesson_model
    >>> seen = window(lesson_model(), lesson_image(), 0, filter=0, row=0, column=0)
    >>> float(seen.products.sum()), float(seen.total)
    (3.0, 3.0)
    """
    node = layer_node(model, layer, Conv2d)
    shape = image_output(node)
    check_index("filter", filter, shape.channels)
    check_index("row", row, shape.height)
    check_index("column", column, shape.width)
    seen = windows_of_row(trace(model, image), node.index, filter, row)
    return WindowTerms(
        seen.window[column],
        seen.inside[column],
        seen.rows,
        seen.columns[column],
        seen.filter,
        seen.products[column],
        seen.first_channel,
        seen.channel_sums[column],
        seen.running[column],
        seen.bias,
        float(seen.total[column]),
        float(seen.activated[column]),
    )
