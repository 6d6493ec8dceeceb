"""What a saved page holds: the questions that are answered ahead, those that readers ask first before the rest."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from neocog.app.page.kernels import fits
from neocog.app.page.practice import Practice
from neocog.app.page.question import Question
from neocog.app.page.session import FIRST, Session
from neocog.explain.maximise import climbing_work
from neocog.explain.places import offered_sizes
from neocog.explain.rules import RULES
from neocog.nn.graph import Node
from neocog.nn.layers import AvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d
from neocog.nn.shapes import ImageShape

SMALL_WEIGHTS = 20_000  # weights of a layer that are held in any case
CLIMBING = 60_000_000_000  # multiply-adds of all images that are searched for ahead
FIRST_OF = 4  # answers of each kind of layer that come before all others
MOST_CHANNELS = 16  # of a layer that are taken apart value by value
EDITS = range(-3, 4)  # values that a kernel's weights can be set to in the saved worked example


def ask(name: str, **arguments: object) -> Question:
    """Make a question."""
    return Question(name, {key: str(value) for key, value in arguments.items()})


def essential(session: Session) -> Iterator[Question]:
    """List what a page cannot do without, whatever it takes."""
    yield ask("model")
    if FIRST not in session.inputs:
        return
    yield ask("run", input=FIRST)
    yield ask("check", input=FIRST)
    yield ask("thumbnails", input=FIRST)
    for node in session.model.graph.nodes:
        yield ask("activation", input=FIRST, layer=node.index)
        if isinstance(node.layer, Flatten):
            yield ask("flatten", layer=node.index)
        small = np.prod(node.weight_shape or 0) <= SMALL_WEIGHTS
        if small and isinstance(node.layer, Linear | Conv2d):
            yield ask("weights", layer=node.index)
    yield from _gradients(session, targets(session)[0], (-1, len(session.model.graph.nodes) - 1))


def optional(session: Session, defaults: dict[str, Any]) -> Iterator[Question]:
    """List the rest, by rounds, so that every room has something before one has all."""
    yield from _learning(session)
    if FIRST not in session.inputs:
        return
    nodes = session.model.graph.nodes
    backwards = range(len(nodes) - 2, -1, -1)  # as the room shows them
    yield from _gradients(session, targets(session)[0], backwards)
    convolutions = [node for node in nodes if isinstance(node.layer, Conv2d)]
    strongest = {node.index: strongest_filters(session, node) for node in convolutions}
    left = CLIMBING
    for node in convolutions[:1]:
        yield from _arithmetic(session, node, strongest[node.index][0])
        for filter in dict.fromkeys((0, strongest[node.index][0])):
            yield from _detects(session, node, filter, defaults)
        left -= climbing_work(session.model.graph, node.index)
    for kind in dict.fromkeys(type(node.layer) for node in nodes):
        yield from itertools.islice(
            _by_output(session, next(node for node in nodes if type(node.layer) is kind)), FIRST_OF
        )
    if convolutions:
        target = targets(session)[0]
        for control in ({}, {"control": defaults["control"]}):
            yield ask("gradcam", input=FIRST, layer=-1, target=target, **control)
            yield ask("occlusion", input=FIRST, target=target, **defaults["occlusion"], **control)
        yield from _places(session, convolutions[0], strongest[convolutions[0].index][0], defaults["shift"])
    yield from _kernels(session, defaults["kernel"])
    channels = _channels(session)
    yield from _steps(channels, 0)
    for node in nodes:
        yield from _by_output(session, node)
    for node in convolutions[1:]:
        best, work = strongest[node.index][0], climbing_work(session.model.graph, node.index)
        if work <= left:  # so that saving a deep network takes seconds, not minutes
            left -= work
            yield from _detects(session, node, best, defaults)
    for node in convolutions:
        yield ask("weights", layer=node.index)
    for target in targets(session)[1:]:
        yield from _gradients(session, target, (-1, len(nodes) - 1, *backwards))
    for node in convolutions[1:]:
        yield from _arithmetic(session, node, strongest[node.index][0])
    most = max((len(filters) for filters in strongest.values()), default=0)
    for rank in range(1, most):
        for node in convolutions:
            if rank < len(strongest[node.index]):
                yield from _arithmetic(session, node, strongest[node.index][rank])
    for rank in range(1, MOST_CHANNELS):
        yield from _steps(channels, rank)


def _gradients(session: Session, target: str, layers: Iterable[int]) -> Iterator[Question]:
    for layer in layers:
        yield ask("gradient", input=FIRST, layer=layer, target=target)


def _detects(session: Session, node: Node, filter: int, defaults: dict[str, Any]) -> Iterator[Question]:
    for control in ({}, {"control": defaults["control"]}):
        if session.gallery is not None:
            yield ask("patches", layer=node.index, **control)
            yield ask("crops", filter=filter, layer=node.index, **control)
        yield ask("maximise", filter=filter, layer=node.index, seed=defaults["seed"], **control)


def _learning(session: Session) -> Iterator[Question]:
    convolutions = [node.index for node in session.model.graph.nodes if isinstance(node.layer, Conv2d)]
    if session.run is not None:
        yield ask("learning")
        for index in convolutions:
            yield ask("learnt", layer=index)
    if session.lesson:
        usual = Practice()
        for given in ({}, *(practice.arguments() for practice in usual.offered())):
            yield ask("learning", **given)
            yield ask("learnt", layer=convolutions[0], **given)


def targets(session: Session, name: str = FIRST) -> list[str]:
    """Return the targets that gradients of an image are shown of first: the predicted class, and the loss of it or of
    the true one; of several true ones, of the first.
    """
    logits = session.trace(name).class_logits
    best = int(np.nan_to_num(logits, nan=-np.inf).argmax())
    label = next(iter(session.input(name).labels), best)
    return [f"class:{best}", f"loss:{label}"]


def strongest_filters(session: Session, node: Node, name: str = FIRST) -> list[int]:
    """Order a layer's maps by their largest value for an image; of a vector, its values."""
    output = session.trace(name).output(node.index)
    peaks = output.max(axis=(0, 1)) if output.ndim == 3 else output
    return [int(k) for k in np.argsort(-np.nan_to_num(peaks, nan=-np.inf), kind="stable")]


def _channels(session: Session) -> dict[int, list[int]]:
    """Return the layers that are taken apart channel by channel, and which channels of them come first."""
    nodes = [node for node in session.model.graph.nodes if (rule := RULES.get(type(node.layer))) and rule.steps]
    return {node.index: strongest_filters(session, node)[:MOST_CHANNELS] for node in nodes}


def _steps(channels: dict[int, list[int]], rank: int) -> Iterator[Question]:
    for index, ordered in channels.items():
        if rank < len(ordered):
            yield ask("steps", channel=ordered[rank], input=FIRST, layer=index)


def _arithmetic(session: Session, node: Node, filter: int) -> Iterator[Question]:
    assert isinstance(node.output, ImageShape)
    assert isinstance(node.input, ImageShape)
    for row in range(node.output.height):
        yield ask("lens", filter=filter, input=FIRST, layer=node.index, row=row)
    cut = {"channel": 0, "column": 0, "filter": filter, "input": FIRST, "layer": node.index, "row": 0}
    yield ask("edges", **cut)
    if session.lesson:
        weight = node.weight_shape
        assert weight is not None
        for tap in range(weight[0] * weight[1]):
            for value in EDITS:
                yield ask("edges", **cut, tap=tap, value=value)


def _by_output(session: Session, node: Node) -> Iterator[Question]:
    if isinstance(node.layer, MaxPool2d | AvgPool2d):
        assert isinstance(node.output, ImageShape)
        kinds: tuple[dict[str, str], ...] = ({},)
        if session.lesson:
            kinds += ({"kind": "average" if isinstance(node.layer, MaxPool2d) else "max"},)
        for channel in range(node.output.channels):
            for kind in kinds:
                yield ask("pooling", channel=channel, input=FIRST, layer=node.index, target=targets(session)[0], **kind)
    if isinstance(node.layer, BatchNorm2d):
        yield ask("statistics", input=FIRST, layer=node.index)
    if isinstance(node.layer, Linear):
        small = node.input.size * node.output.size <= SMALL_WEIGHTS
        largest = int(np.nan_to_num(session.trace(FIRST).output(node.index), nan=-np.inf).argmax())
        for output in range(node.output.size) if small else sorted({0, largest}):
            yield ask("terms", input=FIRST, layer=node.index, output=output)
    if session.lesson and isinstance(node.input, ImageShape):
        for target in targets(session):
            for row, column, channel in np.ndindex(node.input.height, node.input.width, node.input.channels):
                cell = {"channel": channel, "column": column, "row": row}
                yield ask("route", **cell, input=FIRST, layer=node.index, target=target)


def _kernels(session: Session, given: dict[str, Any]) -> Iterator[Question]:
    yield ask("picture", input=FIRST)
    layer = given["layer"]
    node = None if layer is None else session.model.graph.nodes[layer]
    for preset in given["presets"].values():
        weights = {
            "weights": ",".join(f"{weight:g}" for weight in preset["weights"]),
            "divide": f"{preset['divide']:g}",
        }
        slid = {**weights, "dilation": 1, "padding": given["padding"], "stride": 1}
        side = math.isqrt(len(preset["weights"]))
        if side > min(session.size.height, session.size.width) + 2 * given["padding"]:
            continue
        yield ask("kernel", input=FIRST, **slid)
        if node is not None and fits(node, side):
            yield ask("replaced", filter=0, input=FIRST, layer=layer, **weights)
        if session.lesson:
            for row in range(session.size.height + 2 * given["padding"] - side + 1):
                yield ask("kernel_row", channel=0, input=FIRST, row=row, **slid)


def _places(session: Session, node: Node, filter: int, shift: dict[str, int]) -> Iterator[Question]:
    steps = range(-shift["most"], shift["most"] + 1, shift["step"])
    for rows in steps:
        for columns in steps:
            yield ask("shift", columns=columns, filter=filter, input=FIRST, layer=node.index, rows=rows)
    for size in offered_sizes(min(session.size.height, session.size.width)):
        yield ask("downsample", input=FIRST, size=size)
