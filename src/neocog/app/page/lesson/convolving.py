"""Cards about the arithmetic of a convolution, and about its weights: rows A7 to A12 of the article."""

from __future__ import annotations

import numpy as np

from neocog.app.page.lesson.card import Ask, Card, LacksError, layer_named, numbers, whole
from neocog.app.page.lesson.seeing import convolutions
from neocog.app.page.recording import strongest_filters
from neocog.app.page.session import Session
from neocog.explain.lens import channels_seen, windows_of_row
from neocog.explain.tied import Cut, cut
from neocog.nn.graph import Node
from neocog.nn.layers import Conv2d
from neocog.nn.shapes import ImageShape

LARGEST_KERNEL = 25  # cells that a card shows
MOST_CHANNELS = 512  # of an input: a page's card for one of more would be no better


def channels_of(node: Node) -> int:
    """Return how many channels each filter of a convolution looks at."""
    assert isinstance(node.layer, Conv2d)
    assert isinstance(node.input, ImageShape)
    return node.input.channels // node.layer.groups


def peak_of(session: Session, name: str, node: Node, filter: int) -> tuple[int, int]:
    """Return the place of the largest value of a map."""
    values = session.trace(name).output(node.index)[..., filter]
    row, column = divmod(int(values.argmax()), values.shape[1])
    return row, column


def next_cell(session: Session, name: str) -> Card:
    """A7: the filter lies on a window; products are added up; that is one cell."""
    for node in convolutions(session):
        assert isinstance(node.output, ImageShape)
        kernel = node.weight_shape[:2] if node.weight_shape else (0, 0)
        if channels_of(node) == 1 and 1 < kernel[0] * kernel[1] <= LARGEST_KERNEL and node.output.width > 1:
            break
    else:
        raise LacksError("no convolution of the network has a single input channel")
    filter = strongest_filters(session, node, name)[0]
    row, column = peak_of(session, name, node, filter)
    at = max(0, column - 1)
    seen = windows_of_row(session.trace(name), node.index, filter, row)
    window = seen.window[at + 1, ..., 0]
    total = float(seen.total[at + 1])
    mistakes = [
        ("stayed", float(seen.total[at])),
        ("window", float(window.sum())),
        ("sign", -total),
        ("bias", total - seen.bias),
    ]
    options, right = numbers(total, mistakes, kind="values")
    ask = Ask(
        "biased" if seen.bias else "next",
        "values",
        options,
        right,
        values={"bias": seen.bias, "sum": float(seen.products[at + 1].sum()), "total": total},
        counts={"row": row, "column": at + 1, "filter": filter, "cells": window.size},
        names={"layer": layer_named(node)},
        figures={"window": window, "filter": seen.filter[..., 0]},
        typed=whole(options),
    )
    place: dict[str, int | str] = {"layer": node.index, "filter": filter, "channel": 0, "row": row, "column": at}
    return Card("lens", place, (ask,), {"column": at + 1})


def map_a_filter(session: Session, name: str) -> Card:
    """A8: each filter gives one feature map."""
    nodes = convolutions(session)
    node = next((one for one in nodes if _filters(one) != one.shapes[0].channels), nodes[0])  # type: ignore[union-attr]
    assert isinstance(node.input, ImageShape)
    assert isinstance(node.output, ImageShape)
    filters, channels = node.output.channels, node.input.channels
    mistakes = [
        ("channels", channels),
        ("pairs", filters * channels),
        ("cells", node.output.height * node.output.width),
        ("one", 1),
    ]
    options, right = numbers(filters, mistakes, kind="counts")
    counts = {"filters": filters, "channels": channels, "rows": node.output.height, "columns": node.output.width}
    ask = Ask("maps", "counts", options, right, counts=counts, names={"layer": layer_named(node)})
    return Card("overview", {"layer": node.index}, (ask,))


def _filters(node: Node) -> int:
    assert isinstance(node.output, ImageShape)
    return node.output.channels


def channels_add_up(session: Session, name: str) -> Card:
    """A9: a filter has as many channels as its input, and still gives one map."""
    for node in convolutions(session):
        if 1 < channels_of(node) <= MOST_CHANNELS:
            break
    else:
        raise LacksError("no filter of the network has several channels")
    channels = channels_of(node)
    filter = strongest_filters(session, node, name)[0]
    row, column = peak_of(session, name, node, filter)
    seen = windows_of_row(session.trace(name), node.index, filter, row)
    options, right = numbers(1, [("each", channels), ("pairs", channels * channels)], kind="counts")
    assert isinstance(node.layer, Conv2d)
    assert isinstance(node.input, ImageShape)
    first = channels_seen(node.layer, node.input, filter).start
    ask = Ask(
        "together",
        "counts",
        options,
        right,
        values={
            "sum": float(seen.running[column, -1]),
            "bias": seen.bias,
            "total": float(seen.total[column]),
        },
        counts={"channels": channels, "row": row, "column": column, "filter": filter},
        names={"layer": layer_named(node)},
        after="biased" if seen.bias else "after",
    )
    place: dict[str, int | str] = {
        "layer": node.index,
        "filter": filter,
        "channel": first,
        "row": row,
        "column": column,
    }
    return Card("lens", place, (ask,))


def _piece(session: Session, name: str) -> tuple[Node, Cut, dict[str, int | str]]:
    """Return the piece of the first convolution that the page draws as a network."""
    for node in convolutions(session):
        filter = strongest_filters(session, node, name)[0]
        piece = cut(session.trace(name), node.index, filter, 0, 0, 0)
        if piece.weights.size > 1 and piece.outputs.size > 1:
            return node, piece, {"layer": node.index, "filter": filter, "channel": 0}
    raise LacksError("no convolution of the network has windows of several cells")


def _kept(piece: Cut) -> int:
    """Return how many inputs the neuron with the most edges is joined to: one whose window meets no padding."""
    return int(np.bincount(piece.edges[:, 0]).max())


def removed_edges(session: Session, name: str) -> Card:
    """A10: a convolution is a fully connected layer with some edges removed."""
    node, piece, place = _piece(session, name)
    inputs, kept = int(piece.inputs_inside.sum()), _kept(piece)
    mistakes = [("all", inputs), ("outputs", piece.outputs.size), ("one", 1)]
    options, right = numbers(kept, mistakes, kind="counts")
    counts = {"inputs": inputs, "outputs": piece.outputs.size, "kept": kept, "removed": inputs - kept}
    ask = Ask("edges", "counts", options, right, counts=counts, names={"layer": layer_named(node)})
    return Card("connections", {**place, "wiring": "fully"}, (ask,), {"wiring": "local"})


def fewer_weights(session: Session, name: str) -> Card:
    """A11: edges that are not there need no weights."""
    node, piece, place = _piece(session, name)
    found, kept = piece.counts, _kept(piece)
    mistakes = [("fully", found.fully_connected), ("shared", found.shared), ("outputs", piece.outputs.size)]
    options, right = numbers(found.local, mistakes, kind="counts")
    exact = kept * piece.outputs.size == found.local
    counts = {
        "outputs": piece.outputs.size,
        "kept": kept,
        "inputs": int(piece.inputs_inside.sum()),
        "fully": found.fully_connected,
        "local": found.local,
    }
    ask = Ask(
        "weights" if exact else "padded",
        "counts",
        options,
        right,
        counts=counts,
        names={"layer": layer_named(node)},
        typed=exact,
    )
    return Card("connections", {**place, "wiring": "local"}, (ask,))


def shared_weights(session: Session, name: str) -> Card:
    """A12: all windows share one set of weights."""
    node, piece, place = _piece(session, name)
    found = piece.counts
    mistakes = [("local", found.local), ("outputs", piece.outputs.size), ("fully", found.fully_connected)]
    options, right = numbers(found.shared, mistakes, kind="counts")
    counts = {
        "fully": found.fully_connected,
        "local": found.local,
        "shared": found.shared,
        "outputs": piece.outputs.size,
        "times": round(found.fully_connected / found.shared),
    }
    ask = Ask(
        "share",
        "counts",
        options,
        right,
        counts=counts,
        names={"layer": layer_named(node)},
        after="after" if found.fully_connected % found.shared == 0 else "about",
    )
    return Card("connections", {**place, "wiring": "local"}, (ask,), {"wiring": "shared"})
