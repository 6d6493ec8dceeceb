"""Questions about a kernel of the reader's own: what it makes of a picture, and of the network behind it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.app.page.message import Answer
from neocog.app.page.question import Question
from neocog.app.page.session import Session
from neocog.errors import SettingError
from neocog.explain.kernel import PRESETS, SIDES, OwnKernel, filtered, replaced
from neocog.explain.lens import windows_of_row
from neocog.explain.observed import observe
from neocog.explain.subject import ProgressListener, check_index
from neocog.explain.trace import Trace
from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layers import Conv2d


def kernel_defaults(graph: Graph) -> dict[str, Any]:
    """Return the kernels to begin with, and the layer that one may stand in: the first convolution."""
    node = first_convolution(graph)
    padding = 1  # so that a kernel of 3 x 3 keeps the size
    if node is not None and isinstance(node.layer, Conv2d) and fits(node, 3):
        padding = node.layer.window_over(graph.input).vertical.before
    presets = {
        name: {"weights": [weight for row in kernel.weights for weight in row], "divide": kernel.divide}
        for name, kernel in PRESETS.items()
    }
    return {"presets": presets, "padding": padding, "layer": None if node is None else node.index}


def first_convolution(graph: Graph) -> Node | None:
    """Return the first convolution that takes the image itself."""
    return next((node for node in graph.nodes if isinstance(node.layer, Conv2d) and node.inputs == (IMAGE,)), None)


def fits(node: Node, side: int) -> bool:
    """Whether a kernel of so many rows and columns has the size of a convolution's."""
    return node.weight_shape is not None and node.weight_shape[:2] == (side, side)


def picture(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """An image as it was given, of any size: values from 0 to 1."""
    image = session.input(question.text("input")).image
    values = image / 255.0 if image.dtype == np.uint8 else image.astype(np.float64)
    return Answer({"name": session.input(question.text("input")).name}, {"image": values})


def kernel(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """A picture under a kernel, each colour by itself; what the network says to it, where it is of its size."""
    used, traced = _filtered(session, question)
    found = traced.output(0)
    facts: dict[str, Any] = {"minimum": float(found.min()), "maximum": float(found.max()), "predicted": None}
    arrays: dict[str, NDArray[Any]] = {"kernel": used.values, "filtered": found}
    graph = session.model.graph
    if found.shape == (graph.input.height, graph.input.width, graph.input.channels):
        shown = np.clip(found, 0.0, 1.0).astype(np.float32)  # an image has no other values
        seen = observe(session.model, shown)
        facts["predicted"] = list(seen.predicted)
        arrays |= {"probabilities": seen.probabilities}
    return Answer(facts, arrays)


def kernel_row(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """The windows of one output row of one colour, down to each multiplication."""
    _, traced = _filtered(session, question)
    height, _, channels = traced.output(0).shape
    channel = check_index("channel", question.whole("channel"), channels)
    seen = windows_of_row(traced, 0, channel, check_index("row", question.whole("row"), height))
    return Answer(
        {},
        {
            "window": seen.window[..., 0],
            "inside": seen.inside,
            "kernel": seen.filter[..., 0],
            "products": seen.products[..., 0],
            "total": seen.total,
        },
    )


def replacing(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """What the network says when a kernel has taken the place of one of its filters."""
    image, index, filter = (
        session.input(question.text("input")).image,
        question.whole("layer"),
        question.whole("filter"),
    )
    before = session.trace(question.text("input"))
    after = observe(replaced(session.model, index, filter, _kernel(question)), image)
    return Answer(
        {"predicted": list(after.predicted)},
        {
            "map": after.output(index)[..., filter],
            "before": before.output(index)[..., filter],
            "probabilities": after.probabilities,
        },
    )


KERNELS = {"picture": picture, "kernel": kernel, "kernel_row": kernel_row, "replaced": replacing}


def _filtered(session: Session, question: Question) -> tuple[OwnKernel, Trace]:
    name, used = question.text("input"), _kernel(question)
    image = session.input(name).image
    return used, session.remember(("filtered", name, used), lambda: filtered(image, used))


def _kernel(question: Question) -> OwnKernel:
    text = question.text("weights")
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        weights = []
    side = next((side for side in SIDES if side * side == len(weights)), None)
    if side is None or not np.isfinite(weights).all():
        sizes = " or ".join(str(side * side) for side in SIDES)
        raise SettingError(f"weights must be {sizes} numbers, row by row, got {text!r}")
    rows = tuple(tuple(weights[side * row : side * (row + 1)]) for row in range(side))
    divide = question.real("divide") if "divide" in question.arguments else 1.0
    stride, padding, dilation = (
        question.whole(name, usual) for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    return OwnKernel(rows, divide, stride, padding, dilation)
