"""The gradient of a class or of the loss, layer by layer from the logits back to the pixels, and its routes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError
from neocog.explain.lens import coordinates
from neocog.explain.subject import Array, Subject, check_index
from neocog.explain.trace import Trace, trace
from neocog.nn.graph import IMAGE, Node
from neocog.nn.layers import AvgPool2d, Conv2d, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.nn.shapes import ImageShape
from neocog.nn.summary import multiply_adds
from neocog.reference import loss
from neocog.reference.network import backward, forward

CHECKED = 24  # the most pixels that finite differences are taken at
LEAST = 4  # of them, however large the network
WORK = 1_000_000_000  # multiply-adds that they may take: about half a second
ROUNDINGS = 64  # of a value on its way through a network, in units of the last place: generous
SEEN = 1e-3  # relative difference that shall stand out from rounding
STEP = 1e-4  # of finite differences, on values in [0, 1]; float64 leaves about 1e-9 of the difference to rounding


@dataclass(frozen=True, slots=True)
class Target:
    """What the gradient is of: the logit of a class, or the cross-entropy if that class were right."""

    kind: str
    index: int

    def value(self, logits: Array) -> float:
        """Return the target's value for logits (classes,)."""
        if self.kind == "class":
            return float(logits[self.index])
        return loss.forward(CrossEntropy(), logits[None], np.array([self.index]))

    def gradient(self, logits: Array) -> Array:
        """Return its gradient with respect to the logits (classes,)."""
        if self.kind == "class":
            one = np.zeros(len(logits))
            one[self.index] = 1.0
            return one
        result: Array = loss.backward(CrossEntropy(), logits[None], np.array([self.index]))[0]
        return result


def read_target(model: Subject, target: str | int) -> Target:
    """Read "class:3" or "loss:3"; a bare index or the name of a class is that class's logit.

    Raises:
        SettingError: it is none of these.
    """
    if isinstance(target, str):
        found = re.fullmatch(r"(class|loss):(\d+)", target)
        if found:
            return Target(found[1], check_index("target class", int(found[2]), len(model.class_names)))
        if target in model.class_names:
            return Target("class", model.class_names.index(target))
        raise SettingError(
            f"target must be class:INDEX, loss:INDEX or the name of a class, got {target!r}",
            hint=f"classes: {', '.join(model.class_names[:12])}",
        )
    return Target("class", check_index("target class", target, len(model.class_names)))


@dataclass(frozen=True, slots=True)
class GradientFlow:
    """The gradient of a target at every layer, in float64.

    target: what it is of. value: the target's value.
    image: (H, W, C) of the pixels on the scale from 0 to 1. normalised: (H, W, C) of what the first layer took.
    outputs: one array for each layer: of what it gave, (P, Q, K) or (F,).
    """

    traced: Trace
    target: Target
    value: float
    image: Array
    normalised: Array
    outputs: tuple[Array, ...]

    def input(self, index: int) -> Array:
        """Return the gradient with respect to the input of layer number `index`."""
        return self.outputs[index - 1] if index else self.normalised


def gradients(model: Subject, image: NDArray[Any], target: str | int) -> GradientFlow:
    """Follow a gradient from a class, or from the loss, back to the pixels.

    Max pooling hands it to each window's winner, average pooling shares it equally, overlapping windows add up, a ReLU
    lets it pass where its input was above 0.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1].
        target: a class's index or name, "class:INDEX", or "loss:INDEX" for the cross-entropy if that class were right.

    >>> from neocog.explain.lesson import lesson_image, lesson_model
    >>> flow = gradients(lesson_model(), lesson_image(), "falling line")
    >>> flow.outputs[0][..., 0].tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
    """
    return gradient_flow(trace(model, image), read_target(model, target))


def gradient_flow(traced: Trace, target: Target) -> GradientFlow:
    """Follow the gradient of a target back through a traced network."""
    with np.errstate(all="ignore"):
        found = backward(traced.graph, traced.parameters, traced.run, target.gradient(traced.logits)[None], image=True)
        value = target.value(traced.logits)
    assert found.image is not None  # it was asked for
    outputs = tuple(found.outputs[node.index][0] for node in traced.graph.nodes)
    return GradientFlow(traced, target, value, found.image[0], found.outputs[IMAGE][0], outputs)


def conserved(node: Node) -> bool | None:
    """Whether the gradient of a layer's input adds up to that of its output: True for poolings none of whose windows
    meets padding; False for averages that leave a share on padding; None where nothing of the kind is promised.

    Max pooling conserves the sum whatever its padding, since padding never wins.
    """
    if isinstance(node.layer, MaxPool2d):
        return True
    if isinstance(node.layer, AvgPool2d):
        assert isinstance(node.input, ImageShape)
        walk = node.layer.window_over(node.input)
        axes = (walk.vertical, walk.horizontal)
        return all(axis.taps_inside() == axis.output * axis.kernel for axis in axes)
    return None


@dataclass(frozen=True, slots=True)
class Difference:
    """How far the gradient of the pixels is from central finite differences.

    checked: pixels where they were taken (those of the largest gradients, and others spread over the image).
    largest: the largest difference, relative to the largest gradient among them, or to the smallest that rounding
        lets one see; NaN if something is not finite.
    skipped: pixels left out because the network has a kink between the two points: a ReLU that opens or a winner that
        changes, where no derivative exists for the difference to equal.
    """

    checked: int
    largest: float
    skipped: int


def finite_difference(flow: GradientFlow) -> Difference:
    """Hold the gradient of the pixels to central finite differences of the reference's forward pass."""
    traced = flow.traced
    gradient = flow.image.ravel()
    passes = WORK // max(1, sum(multiply_adds(node) for node in traced.graph.nodes))
    count = min(CHECKED, max(LEAST, passes // 2))
    strongest = np.argsort(-np.abs(gradient), kind="stable")[: count // 2]
    spread = np.linspace(0, gradient.size - 1, count - len(strongest)).astype(np.int64)
    places = np.unique(np.concatenate([strongest, spread]))
    moved = np.repeat(traced.image[None], 2 * len(places), axis=0)
    rows = np.arange(len(places))
    moved.reshape(len(moved), -1)[rows, places] += STEP
    moved.reshape(len(moved), -1)[rows + len(places), places] -= STEP
    with np.errstate(all="ignore"):
        run = forward(traced.graph, traced.parameters, moved)
        values = np.array([flow.target.value(logits) for logits in run.logits])
        found = (values[: len(places)] - values[len(places) :]) / (2 * STEP)
    smooth = np.ones(len(places), bool)
    for node in traced.graph.nodes:
        if isinstance(node.layer, ReLU):
            gates = run.input(node.index).reshape(len(moved), -1) > 0
        elif isinstance(node.layer, MaxPool2d):
            choice = run.choices[node.index]
            assert choice is not None  # the reference always records the winners
            gates = choice.reshape(len(moved), -1)
        else:
            continue
        smooth &= (gates[: len(places)] == gates[len(places) :]).all(axis=1)
    want = gradient[places][smooth]
    largest = float(np.abs(want).max(initial=0.0))
    error = float(np.abs(found[smooth] - want).max(initial=0.0))
    # What rounding leaves of a difference of two values of the target, in float64: no gradient below it can be seen.
    with np.errstate(all="ignore"):
        noise = ROUNDINGS * np.finfo(np.float64).eps * float(np.abs(run.logits).max()) / STEP
    scale = max(largest, noise / SEEN)
    relative = error / scale if scale > 0 or not np.isfinite(error) else error
    return Difference(int(smooth.sum()), relative, int((~smooth).sum()))


@dataclass(frozen=True, slots=True)
class Route:
    """Where the gradient of one input cell of a layer comes from.

    places: (n, 3) row, column and channel of the outputs that send some; of a Linear, (0, 0, output).
    factors: (n,) what each sends, as a share of its own gradient: a weight, 1 for a winner, 1 / cells of an average.
    gradients: (n,) of those outputs.
    contributions: (n,) factor × gradient; they add up to `total`. Largest first.
    total: the gradient of the cell.
    """

    places: NDArray[np.int64]
    factors: Array
    gradients: Array
    contributions: Array
    total: float


def route(flow: GradientFlow, index: int, row: int, column: int, channel: int) -> Route:
    """Take apart where the gradient of an input cell comes from.

    Arguments:
        flow: the gradient at every layer.
        index: of the layer.
        row, column, channel: the cell of its input; of a vector, row and column are 0 and channel is the place in it.

    Raises:
        SettingError: there is no such cell.
    """
    node = flow.traced.graph.nodes[index]
    shape = node.input
    sides = (shape.height, shape.width, shape.channels) if isinstance(shape, ImageShape) else (1, 1, shape.size)
    for name, place, count in zip(("row", "column", "channel"), (row, column, channel), sides, strict=True):
        check_index(name, place, count)
    dy = flow.outputs[index]
    found = list(_senders(flow, node, row, column, channel))
    places = np.array([place for place, _ in found], np.int64).reshape(-1, 3)
    factors = np.array([factor for _, factor in found], np.float64)
    grid = dy if dy.ndim == 3 else dy[None, None]
    sent = grid[tuple(places.T)] if len(places) else np.zeros(0)
    with np.errstate(all="ignore"):
        contributions = factors * sent
    order = np.argsort(-np.abs(contributions), kind="stable")
    gradient = flow.input(index)
    total = float(gradient[row, column, channel] if gradient.ndim == 3 else gradient[channel])
    return Route(places[order], factors[order], sent[order], contributions[order], total)


def _senders(
    flow: GradientFlow, node: Node, row: int, column: int, channel: int
) -> Iterator[tuple[tuple[int, int, int], float]]:
    """List the outputs that a cell contributes to, each with its derivative in that cell."""
    traced = flow.traced
    match node.layer:
        case Conv2d() as layer:
            assert isinstance(node.input, ImageShape)
            walk = layer.window_over(node.input)
            weight = traced.parameters[f"{node.name}.weight"]
            rows = coordinates(walk.vertical, np.arange(walk.vertical.output))
            columns = coordinates(walk.horizontal, np.arange(walk.horizontal.output))
            for p, r in np.argwhere(rows == row):
                for q, s in np.argwhere(columns == column):
                    for k in range(weight.shape[-1]):
                        yield (int(p), int(q), k), float(weight[r, s, channel, k])
        case MaxPool2d() | AvgPool2d() as pool:
            assert isinstance(node.input, ImageShape)
            walk = pool.window_over(node.input)
            rows = coordinates(walk.vertical, np.arange(walk.vertical.output))
            columns = coordinates(walk.horizontal, np.arange(walk.horizontal.output))
            choice = traced.run.choices[node.index]
            for p, r in np.argwhere(rows == row):
                for q, s in np.argwhere(columns == column):
                    if choice is None:
                        yield (int(p), int(q), channel), 1.0 / walk.cells
                    else:
                        won = choice[0, p, q, channel] == r * walk.horizontal.kernel + s
                        yield (int(p), int(q), channel), float(won)
        case Linear():
            weight = traced.parameters[f"{node.name}.weight"]
            for output in range(weight.shape[-1]):
                yield (0, 0, output), float(weight[channel, output])
        case ReLU():
            x = traced.input(node.index)
            value = x[row, column, channel] if x.ndim == 3 else x[channel]
            yield (row, column, channel), float(value > 0)
        case _:  # Flatten and Dropout, which move values or keep them
            if isinstance(node.input, ImageShape) and not isinstance(node.output, ImageShape):
                yield (0, 0, (row * node.input.width + column) * node.input.channels + channel), 1.0
            else:
                yield (row, column, channel), 1.0
