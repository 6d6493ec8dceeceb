"""Cards about what a network sees, and of what it is made: rows A1 to A6 of the article."""

from __future__ import annotations

import math

from neocog.app.page.describe import defaults
from neocog.app.page.lesson.card import Ask, Card, LacksError, Option, classes_named, layer_named, numbers
from neocog.app.page.recording import strongest_filters
from neocog.app.page.session import Session
from neocog.explain.places import downsample, shift
from neocog.explain.receptive import receptive_fields
from neocog.nn.graph import Node
from neocog.nn.layers import Conv2d, Flatten
from neocog.nn.shapes import ImageShape
from neocog.nn.summary import weight_counts

TRIED = 6  # filters whose peak is followed
SAME = 1e-6  # relative: peaks that rounding alone keeps apart


def convolutions(session: Session) -> list[Node]:
    """Return the convolutions of a network.

    Raises:
        LacksError: it has none.
    """
    found = [node for node in session.model.graph.nodes if isinstance(node.layer, Conv2d)]
    if not found:
        raise LacksError("the network has no convolution")
    return found


def image_is_numbers(session: Session, name: str) -> Card:
    """A1: an image is many numbers, and fully connected layers would weigh each of them."""
    image = session.model.graph.input
    counts = [found for node in session.model.graph.nodes if (found := weight_counts(node))]
    shared, fully = sum(one.shared for one in counts), sum(one.fully_connected for one in counts)
    sides = {"height": image.height, "width": image.width, "channels": image.channels}
    mistakes = [
        ("channels", image.height * image.width),
        ("added", image.height + image.width),
        ("side", image.height),
    ]
    options, right = numbers(image.size, mistakes, kind="counts")
    ask = Ask(
        "numbers",
        "counts",
        options,
        right,
        counts={**sides, "shared": shared, "fully": fully, "times": round(fully / shared) if shared else 1},
        after="after" if fully > shared else "same",
        typed=True,
    )
    return Card("overview", {}, (ask,))


def neuron_sees_a_part(session: Session, name: str) -> Card:
    """A2: a neuron recognises a pattern, and sees only a small part of the image."""
    graph = session.model.graph
    image = graph.input
    fields = receptive_fields(graph)
    fitting = [
        (node, field)
        for node in convolutions(session)
        if (field := fields[node.index]) and field.size[0] < image.height and field.size[1] < image.width
    ]
    if not fitting:
        raise LacksError("its neurons see the whole image")
    node, field = fitting[min(1, len(fitting) - 1)]
    assert isinstance(node.layer, Conv2d)
    kernel = math.prod(node.weight_shape[:2]) if node.weight_shape else 0
    seen = field.size[0] * field.size[1]
    filter = strongest_filters(session, node, name)[0]
    mistakes = [("whole", image.height * image.width), ("kernel", kernel), ("one", 1)]
    options, right = numbers(seen, mistakes, kind="counts")
    ask = Ask(
        "sees",
        "counts",
        options,
        right,
        counts={
            "height": field.size[0],
            "width": field.size[1],
            "image_height": image.height,
            "image_width": image.width,
            "kernel": kernel,
            "filter": filter,
        },
        names={"layer": layer_named(node)},
    )
    return Card("detects", {"layer": node.index, "filter": filter}, (ask,))


def pattern_anywhere(session: Session, name: str) -> Card:
    """A3: the same weights find a pattern wherever it is."""
    image = session.input(name).image
    step = defaults(session.model.graph.input)["shift"]["step"]
    for node in convolutions(session)[:1]:
        for filter in strongest_filters(session, node, name)[:TRIED]:
            for rows, columns in ((0, step), (step, 0), (0, -step), (-step, 0)):
                moved = shift(session.model, image, rows, columns, layer=node.index, filter=filter)
                if moved.moved is None or not moved.equal_inside:
                    continue
                before, after = moved.peak_before, moved.peak
                expected = before[0] + moved.moved[0], before[1] + moved.moved[1]
                values = moved.peak_value_before, moved.peak_value
                close = abs(values[0] - values[1]) <= SAME * abs(values[0])
                if after != expected or not close or values[0] <= 0:
                    continue
                other = before[0] - moved.moved[0], before[1] - moved.moved[1]
                places = {"right": after, "stays": before, "against": other}
                options = tuple(
                    Option(why, counts={"row": at[0], "column": at[1]})
                    for why, at in sorted(places.items(), key=lambda entry: entry[1])
                    if min(at) >= 0
                )
                ask = Ask(
                    "across",
                    "words",
                    options,
                    next(at for at, one in enumerate(options) if one.why == "right"),
                    values={"peak": values[0], "peak_after": values[1]},
                    counts={"by": abs(rows + columns), "row": before[0], "column": before[1], "filter": filter},
                    names={
                        "layer": layer_named(node),
                        "way": {"way": way_of(rows, columns)},
                    },
                )
                return Card("places", {"layer": node.index, "filter": filter}, (ask,))
    raise LacksError("no peak follows the image")


def way_of(rows: int, columns: int) -> str:
    """Return in which direction an image is moved, as the catalogue calls it."""
    return ("down" if rows > 0 else "up") if rows else ("right" if columns > 0 else "left")


def fewer_pixels(session: Session, name: str) -> Card:
    """A4: a smaller image shows the same, and costs less."""
    image = session.input(name).image
    side = min(session.size.height, session.size.width)
    if side < 2:
        raise LacksError("the image has no smaller size")
    found = downsample(session.model, image, side // 2)
    says = session.trace(name).predicted
    if not says:
        raise LacksError("the network says nothing")
    same = tuple(found.predicted) == tuple(says)
    options = (Option("keeps" if same else "kept"), Option("changed" if same else "changes"))
    ask = Ask(
        "smaller",
        "words",
        options,
        0 if same else 1,
        counts={"height": found.size[0], "width": found.size[1], "values": found.values, "of": found.of},
        names={"class": classes_named(session, says), "other": classes_named(session, found.predicted)},
        after="after" if same else "lost",
    )
    return Card("places", {}, (ask,))


def architecture(session: Session, name: str) -> Card:
    """A5: convolution and pooling in turns, then flatten, then fully connected layers."""
    for node in session.model.graph.nodes:
        shape = node.input
        if isinstance(node.layer, Flatten) and isinstance(shape, ImageShape) and shape.height * shape.width > 1:
            mistakes = [
                ("maps", shape.channels),
                ("cells", shape.height * shape.width),
                ("sum", shape.height + shape.width + shape.channels),
            ]
            options, right = numbers(shape.size, mistakes, kind="counts")
            counts = {"height": shape.height, "width": shape.width, "channels": shape.channels}
            ask = Ask("flatten", "counts", options, right, counts=counts, names={"layer": layer_named(node)})
            return Card("overview", {"layer": node.index}, (ask,))
    raise LacksError("the network flattens no maps")


def what_is_trained(session: Session, name: str) -> Card:
    """A6: training sets every value of every kernel."""
    if session.run is None and not session.lesson:
        raise LacksError("how this network learnt is not known here")
    node = convolutions(session)[0]
    assert isinstance(node.layer, Conv2d)
    assert isinstance(node.output, ImageShape)
    shape = node.weight_shape or (0, 0, 0, 0)
    biases = node.layer.channels if node.layer.bias else 0
    image = session.model.graph.input
    mistakes = [("maps", node.output.size), ("pixels", image.size), ("one", math.prod(shape[:3]))]
    options, right = numbers(math.prod(shape) + biases, mistakes, kind="counts")
    ask = Ask(
        "biased" if biases else "trained",
        "counts",
        options,
        right,
        counts={
            "rows": shape[0],
            "columns": shape[1],
            "channels": shape[2],
            "filters": shape[3],
            "biases": biases,
            "right": math.prod(shape) + biases,
        },
        names={"layer": layer_named(node)},
    )
    return Card("learning", {"layer": node.index}, (ask,))
