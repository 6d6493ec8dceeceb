"""Cards about what comes behind a convolution, and about training: rows A13 to A16 of the article."""

from __future__ import annotations

import numpy as np

from neocog.app.page.lesson.card import Ask, Card, LacksError, Option, classes_named, layer_named, numbers, whole
from neocog.app.page.lesson.seeing import convolutions
from neocog.app.page.recording import strongest_filters, targets
from neocog.app.page.session import Session
from neocog.explain.gradient import route
from neocog.explain.lens import coordinates
from neocog.explain.output import terms_of
from neocog.explain.subject import Array
from neocog.nn.graph import Node
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Dropout2d, DropPath, Linear, MaxPool2d
from neocog.nn.optimizers import OPTIMIZERS
from neocog.nn.shapes import ImageShape
from neocog.train.named import SCHEDULE_NAMES

LARGEST_WINDOW = 16  # cells that a card shows
TRIED = 8  # maps in which a window is looked for
RATE = 0.1  # the learning rate of the one step that is shown


def _pooling(session: Session) -> Node:
    """Return the first pooling with windows that a card can show.

    Raises:
        LacksError: there is none.
    """
    for node in session.model.graph.nodes:
        if isinstance(node.layer, MaxPool2d | AvgPool2d) and isinstance(node.input, ImageShape):
            walk = node.layer.window_over(node.input)
            if 1 < walk.cells <= LARGEST_WINDOW and walk.vertical.output * walk.horizontal.output > 1:
                return node
    raise LacksError("the network has no pooling")


def _cells(node: Node, row: int, column: int) -> tuple[Array, Array] | None:
    """Return rows and columns of a window's cells; None where it meets padding or the end of the map."""
    shape = node.input
    assert isinstance(node.layer, MaxPool2d | AvgPool2d)
    assert isinstance(shape, ImageShape)
    walk = node.layer.window_over(shape)
    rows = coordinates(walk.vertical, np.array([row]))[0]
    columns = coordinates(walk.horizontal, np.array([column]))[0]
    if rows.min() < 0 or columns.min() < 0 or rows.max() >= shape.height or columns.max() >= shape.width:
        return None
    return rows, columns


def _window(
    session: Session, name: str, node: Node, weight: Array | None = None
) -> tuple[int, int, int, tuple[Array, Array]]:
    """Return channel, row, column and cells of the window whose cells differ most; with `weight` (P, Q, K), of those
    where it is not 0.

    Raises:
        LacksError: no window has a single largest cell.
    """
    given = session.trace(name).input(node.index)
    shape = node.output
    assert isinstance(shape, ImageShape)
    best, chosen = 0.0, None
    for channel in strongest_filters(session, node, name)[:TRIED]:
        for row in range(shape.height):
            for column in range(shape.width):
                cells = _cells(node, row, column)
                if cells is None or (weight is not None and weight[row, column, channel] == 0):
                    continue
                values = np.sort(given[np.ix_(*cells)][..., channel], axis=None)
                if values[-1] > values[-2] and values[-1] - values[0] > best:
                    best, chosen = float(values[-1] - values[0]), (channel, row, column, cells)
    if chosen is None:
        raise LacksError("no window has a single largest cell")
    return chosen


def both_poolings(session: Session, name: str) -> Card:
    """A13: max pooling keeps the largest cell of a window, average pooling the mean."""
    node = _pooling(session)
    channel, row, column, cells = _window(session, name, node)
    shape = node.output
    assert isinstance(shape, ImageShape)
    values = session.trace(name).input(node.index)[np.ix_(*cells)][..., channel]
    largest, mean, least, total = (float(found) for found in (values.max(), values.mean(), values.min(), values.sum()))
    counts = {"row": row, "column": column, "channel": channel, "cells": values.size}
    told = {"largest": largest, "mean": mean, "sum": total}
    asks = []
    for key, right, mistakes in (
        ("largest", largest, [("mean", mean), ("least", least), ("sum", total)]),
        ("mean", mean, [("sum", total), ("largest", largest), ("least", least)]),
    ):
        options, at = numbers(right, mistakes, kind="values")
        asks.append(
            Ask(
                key,
                "values",
                options,
                at,
                told,
                {**counts, "rows": shape.height, "columns": shape.width},
                {"layer": layer_named(node)},
                figures={"window": values},
                typed=whole(options),
            )
        )
    before = row * shape.width + column - 1
    first = divmod(before if before >= 0 else 1, shape.width)
    place: dict[str, int | str] = {"layer": node.index, "channel": channel, "row": first[0], "column": first[1]}
    return Card("pooling", {**place, "direction": "forward"}, tuple(asks), {"row": row, "column": column})


def through_pooling(session: Session, name: str) -> Card:
    """A14: how a gradient goes back through a pooling."""
    node = _pooling(session)
    target = targets(session, name)[0]
    flow = session.flow(name, target)
    channel, row, column, cells = _window(session, name, node, flow.outputs[node.index])
    values = flow.traced.input(node.index)[np.ix_(*cells)][..., channel]
    sent = np.zeros_like(values)
    for i, y in enumerate(cells[0]):
        for j, x in enumerate(cells[1]):
            found = route(flow, node.index, int(y), int(x), channel)
            here = (found.places[:, 0] == row) & (found.places[:, 1] == column)
            sent[i, j] = found.contributions[here].sum()
    most = isinstance(node.layer, MaxPool2d)
    gradient = float(flow.outputs[node.index][row, column, channel])
    options = (
        Option("right" if most else "winner"),
        Option("share" if most else "right_share"),
        Option("stops"),
    )
    ask = Ask(
        "max" if most else "average",
        "words",
        options,
        0 if most else 1,
        values={"gradient": gradient},
        counts={"row": row, "column": column, "channel": channel, "cells": values.size},
        names={"layer": layer_named(node), "class": classes_named(session, [int(target.split(":")[1])])},
        figures={"window": values},
        revealed={"sent": sent},
    )
    place: dict[str, int | str] = {"layer": node.index, "channel": channel, "row": row, "column": column}
    return Card("pooling", {**place, "target": target, "direction": "forward"}, (ask,), {"direction": "backward"})


def features_combine(session: Session, name: str) -> Card:
    """A15: the convolutions extract features, and the fully connected layer weighs them."""
    graph = session.model.graph
    node = graph.nodes[-1]
    if not isinstance(node.layer, Linear):
        raise LacksError("the network does not end in a fully connected layer")
    output = int(targets(session, name)[0].split(":")[1])
    found = terms_of(session.trace(name), node.index, output)
    term = int(found.order[0])
    feature, weight, product = (float(values[term]) for values in (found.input, found.weight, found.products))
    mistakes = [("added", feature + weight), ("whole", found.total), ("weight", weight), ("feature", feature)]
    options, right = numbers(product, mistakes, kind="values")
    features = graph.nodes[graph.feature_node].output.size
    ask = Ask(
        "term",
        "values",
        options,
        right,
        values={
            "feature": feature,
            "weight": weight,
            "product": product,
            "sum": float(found.products.sum()),
            "bias": found.bias,
            "total": found.total,
        },
        counts={"index": term, "terms": len(found.input), "features": features},
        names={"layer": layer_named(node), "class": classes_named(session, [output])},
        after="biased" if found.bias else "after",
        typed=whole(options),
    )
    return Card("output", {"layer": node.index}, (ask,))


def one_step(session: Session, name: str) -> Card:
    """A16: gradient descent, and what makes it better."""
    if session.run is None and not session.lesson:
        raise LacksError("how this network learnt is not known here")
    node = convolutions(session)[0]
    assert isinstance(node.layer, Conv2d)
    traced = session.trace(name)
    target = targets(session, name)[1]
    gradient = session.flow(name, target).weights(node.index)
    place = np.unravel_index(int(np.nan_to_num(np.abs(gradient)).argmax()), gradient.shape)
    slope = float(gradient[place])
    weight = float(traced.parameters[f"{node.name}.weight"][place])
    if slope == 0 or not np.isfinite(slope):
        raise LacksError("the loss depends on no weight")
    options = (
        Option("right_grows" if slope < 0 else "grows"),
        Option("right_shrinks" if slope > 0 else "shrinks"),
        Option("stays"),
    )
    ask = Ask(
        "step",
        "words",
        options,
        0 if slope < 0 else 1,
        values={"weight": weight, "gradient": slope, "rate": RATE, "new": weight - RATE * slope},
        counts={"row": int(place[0]), "column": int(place[1]), "filter": int(place[3])},
        names={"layer": layer_named(node), "class": classes_named(session, [int(target.split(":")[1])])},
        after="negative" if slope < 0 else "after",
    )
    lists = {
        "optimizers": [kind.__name__ for kind in OPTIMIZERS],
        "schedules": [kind.__name__ for kind in SCHEDULE_NAMES.values()],
        "dropouts": [kind.__name__ for kind in (Dropout, Dropout2d, DropPath)],
    }
    return Card("learning", {"layer": node.index}, (ask,), lists=lists)
