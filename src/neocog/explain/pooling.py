"""Pooling, cell by cell: which value of each window won, how many were equal to it, or what was averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError
from neocog.explain.lens import coordinates
from neocog.explain.subject import Array, Subject, check_index, layer_node
from neocog.explain.trace import Trace, trace
from neocog.nn.graph import Node
from neocog.nn.graph import trace as alone
from neocog.nn.layers import AvgPool2d, MaxPool2d
from neocog.nn.shapes import ImageShape
from neocog.nn.window import counts
from neocog.reference.network import ForwardPass, backward_node, forward

KINDS = {"max": MaxPool2d, "average": AvgPool2d}

MAX_RULE = "The largest value wins. Of equal values the first wins, row by row from the top left. Padding never wins."
AVERAGE_RULE = "The mean of all cells of the window. Padding counts as zeros."
INSIDE_RULE = "The mean of the cells of the window that lie in the image. Padding does not count."


@dataclass(frozen=True, slots=True)
class Pooling:
    """One channel of a pooling layer.

    kind: "max" or "average". cells: of a window, padding included. rule: what decides, in words.
    counted: (P, Q) how many cells of the window the mean is taken of: fewer than all where padding does not count, or
        the window reaches beyond it; of max pooling, how many lie in the image.
    padding_counts: whether padding counts in a mean, as zeros; of max pooling it never does.
    input: (H, W). output: (P, Q).
    winner: (P, Q) the argmax of each window: the place of its largest cell in it, row by row from 0; of an average, -1.
    winner_row, winner_column: (P, Q) the place of the same cell in the input; of an average, -1.
    ties: (P, Q) how many cells of the window hold the largest value; of an average, 0.
    sum: (P, Q) the window's cells added up.
    """

    kind: str
    cells: int
    counted: NDArray[np.int64]
    padding_counts: bool
    rule: str
    input: Array
    output: Array
    winner: NDArray[np.int64]
    winner_row: NDArray[np.int64]
    winner_column: NDArray[np.int64]
    ties: NDArray[np.int64]
    sum: Array


def pooling(model: Subject, image: NDArray[Any], layer: int | str, channel: int, *, kind: str | None = None) -> Pooling:
    """Take one channel of a pooling layer apart.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1].
        layer: index or name of a MaxPool2d or AvgPool2d.
        channel: which map, from 0.
        kind: "max" or "average": what pools the same map with the same windows; None: what the layer does.

    Raises:
        SettingError: there is no such layer or channel.

    >>> from neocog.explain.lesson import lesson_image, lesson_model
    >>> pooling(lesson_model(), lesson_image(), 1, channel=0).winner_row.tolist()
    [[0, 1], [3, 2]]
    """
    node = layer_node(model, layer, MaxPool2d, AvgPool2d)
    return pooling_of(trace(model, image), node.index, channel, kind)


def pooling_of(traced: Trace, index: int, channel: int, kind: str | None = None) -> Pooling:
    """Take one channel of a pooling layer, found by its index, apart; with a kind, what that does in its place."""
    node, run = _alone(traced, index, channel, kind)
    layer, shape = node.layer, node.input
    assert isinstance(layer, MaxPool2d | AvgPool2d)
    assert isinstance(shape, ImageShape)
    x, y = traced.input(index)[..., channel], run.outputs[0][0, ..., 0]
    walk = layer.window_over(shape)
    rows = coordinates(walk.vertical, np.arange(walk.vertical.output))  # (P, r)
    columns = coordinates(walk.horizontal, np.arange(walk.horizontal.output))  # (Q, s)
    inside = ((rows >= 0) & (rows < shape.height))[:, None, :, None] & ((columns >= 0) & (columns < shape.width))[
        None, :, None, :
    ]
    place = (
        np.clip(rows, 0, shape.height - 1)[:, None, :, None],
        np.clip(columns, 0, shape.width - 1)[None, :, None, :],
    )
    cells = np.where(inside, x[place], 0.0)  # (P, Q, r, s)
    with np.errstate(all="ignore"):
        total = cells.sum(axis=(2, 3))
    nothing = np.full(y.shape, -1, np.int64)
    counted = np.multiply.outer(*counts(layer.counted_over(shape) if isinstance(layer, AvgPool2d) else walk))
    if isinstance(layer, AvgPool2d):
        with_padding = layer.count_include_pad
        rule = AVERAGE_RULE if with_padding else INSIDE_RULE
        ties = np.zeros(y.shape, np.int64)
        return Pooling("average", walk.cells, counted, with_padding, rule, x, y, nothing, nothing, nothing, ties, total)
    choice = run.choices[0]
    assert choice is not None  # the reference always records the argmax
    winner = choice[0, ..., 0].astype(np.int64)
    p, q = np.indices(y.shape)
    equal = inside & ((cells == y[..., None, None]) | (np.isnan(cells) & np.isnan(y)[..., None, None]))
    return Pooling(
        "max",
        walk.cells,
        counted,
        False,
        MAX_RULE,
        x,
        y,
        winner,
        rows[p, winner // walk.horizontal.kernel],
        columns[q, winner % walk.horizontal.kernel],
        equal.sum(axis=(2, 3)),
        total,
    )


def sent_back(traced: Trace, index: int, channel: int, gradient: Array, kind: str | None = None) -> Array:
    """Return what one channel of a pooling sends back to its input (H, W) for a gradient (P, Q) at its output.

    Max pooling hands each window's gradient to its winner, average pooling shares it equally; where windows overlap,
    what they send is added. index, channel, kind: as in `pooling_of`.
    """
    node, run = _alone(traced, index, channel, kind)
    with np.errstate(all="ignore"):
        sent = backward_node(node, {}, run.inputs(0), run.choices[0], gradient[None, ..., None], None)
    result: Array = sent.inputs[0][0, ..., 0]
    return result


def _alone(traced: Trace, index: int, channel: int, kind: str | None) -> tuple[Node, ForwardPass]:
    """Run a pooling layer, or one of another kind with the same windows, on one channel of what it takes."""
    node = traced.graph.nodes[index]
    layer, shape = node.layer, node.input
    assert isinstance(layer, MaxPool2d | AvgPool2d)  # callers find the layer by its kind
    assert isinstance(shape, ImageShape)
    check_index("channel", channel, shape.channels)
    if kind not in (None, *KINDS):
        raise SettingError(f"kind must be {' or '.join(KINDS)}, got {kind!r}")
    if kind is not None and not isinstance(layer, KINDS[kind]):
        same = layer.window, layer.stride, layer.padding, layer.ceil_mode
        layer = MaxPool2d(*same) if kind == "max" else AvgPool2d(*same, count_include_pad=False)
    graph = alone(layer, (shape.height, shape.width, 1))
    with np.errstate(all="ignore"):
        run = forward(graph, {}, traced.input(index)[None, ..., channel, None])
    return graph.nodes[0], run
