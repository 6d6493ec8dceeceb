"""The gradient of a class or of the loss, layer by layer from the logits back to the pixels, and its routes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError
from neocog.explain.rules import rule_of
from neocog.explain.senders import Cell
from neocog.explain.subject import Array, ProgressListener, Subject, check_index, no_progress
from neocog.explain.trace import Trace, trace
from neocog.nn.graph import IMAGE, Node
from neocog.nn.losses import CrossEntropy, Loss
from neocog.nn.shapes import ImageShape
from neocog.nn.summary import multiply_adds
from neocog.reference import loss
from neocog.reference.network import backward, backward_node, forward

CHECKED = 24  # the most pixels that finite differences are taken at
LEAST = 4  # of them, however large the network
WORK = 1_000_000_000  # multiply-adds that they may take: about half a second
ROUNDINGS = 64  # of a value on its way through a network, in units of the last place: generous
SEEN = 1e-3  # relative difference that shall stand out from rounding
STEP = 1e-4  # of finite differences, on values in [0, 1]; float64 leaves about 1e-9 of the difference to rounding


@dataclass(frozen=True, slots=True)
class GradientTarget:
    """What the gradient is of: the logit of a class, or the network's own loss if that class, or that label alone, were
    right. Of networks that answer pixel by pixel it is the mean over all pixels.
    """

    kind: str
    index: int
    loss: Loss

    def value(self, logits: Array) -> float:
        """Return the target's value for logits (classes,) or (H, W, classes)."""
        pixels = logits.reshape(-1, logits.shape[-1])
        if self.kind == "class":
            return float(pixels[:, self.index].mean())
        return loss.forward(self.loss, pixels, self._right(pixels))

    def gradient(self, logits: Array) -> Array:
        """Return its gradient with respect to the logits, in their shape."""
        pixels = logits.reshape(-1, logits.shape[-1])
        if self.kind == "class":
            result = np.zeros_like(pixels)
            result[:, self.index] = 1.0 / len(pixels)
        else:
            result = loss.backward(self.loss, pixels, self._right(pixels))
        return result.reshape(logits.shape)

    def _right(self, pixels: Array) -> NDArray[Any]:
        """Return what each pixel should be answered with, as the loss takes it: classes, or rows with a single 1."""
        labels = np.full(len(pixels), self.index)
        return labels if isinstance(self.loss, CrossEntropy) else np.eye(pixels.shape[-1])[labels]


def read_target(model: Subject, target: str | int) -> GradientTarget:
    """Read "class:3" or "loss:3"; a bare index or the name of a class is that class's logit.

    Raises:
        SettingError: it is none of these.
    """
    if isinstance(target, str):
        found = re.fullmatch(r"(class|loss):(\d+)", target)
        if found:
            index = check_index("target class", int(found[2]), len(model.class_names))
            return GradientTarget(found[1], index, model.loss)
        if target in model.class_names:
            return GradientTarget("class", model.class_names.index(target), model.loss)
        raise SettingError(
            f"target must be class:INDEX, loss:INDEX or the name of a class, got {target!r}",
            hint=f"classes: {', '.join(model.class_names[:12])}",
        )
    return GradientTarget("class", check_index("target class", target, len(model.class_names)), model.loss)


@dataclass(frozen=True, slots=True)
class GradientFlow:
    """The gradient of a target at every layer, in float64.

    target: what it is of. value: the target's value.
    image: (H, W, C) of the pixels on the scale from 0 to 1. normalised: (H, W, C) of what the first layer took.
    outputs: one array for each layer: of what it gave, (P, Q, K) or (F,). Where several layers take a value, the
        gradients that they send back to it are added.
    """

    traced: Trace
    target: GradientTarget
    value: float
    image: Array
    normalised: Array
    outputs: tuple[Array, ...]

    def of(self, value: int) -> Array:
        """Return the gradient of a value by its number: of what a layer gave, or for -1 of what the first one took."""
        return self.normalised if value == IMAGE else self.outputs[value]

    def input(self, index: int, position: int = 0) -> Array:
        """Return the gradient of an input of layer number `index`, as all layers that take the same value send it."""
        return self.of(self.traced.graph.nodes[index].inputs[position])

    def weights(self, index: int) -> Array:
        """Return the gradient of the weights of layer number `index`, in their shape."""
        node, run = self.traced.graph.nodes[index], self.traced.run
        with np.errstate(all="ignore"):
            found = backward_node(
                node, self.traced.parameters, run.inputs(index), run.choices[index], self.outputs[index][None], None
            )
        result: Array = found.variables["weight"]
        return result

    def sent(self, index: int, position: int = 0) -> Array:
        """Return what layer number `index` alone sends back to one of its inputs."""
        graph, run = self.traced.graph, self.traced.run
        node = graph.nodes[index]
        if len(graph.consumers(node.inputs[position])) == 1:
            return self.input(index, position)
        with np.errstate(all="ignore"):
            found = backward_node(
                node, self.traced.parameters, run.inputs(index), run.choices[index], self.outputs[index][None], None
            )
        result: Array = found.inputs[position][0]
        return result


def gradients(model: Subject, image: NDArray[Any], target: str | int) -> GradientFlow:
    """Follow a gradient from a class, or from the loss, back to the pixels.

    Max pooling hands it to each window's largest cell, average pooling shares it equally, overlapping windows add up,
    an activation multiplies it by its slope, and where several layers take a value, what they send back is added.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1].
        target: a class's index or name, "class:INDEX", or "loss:INDEX" for the model's loss if that class were right;
            where an image may have several labels, if it had that one alone.

    >>> from neocog.explain.lesson import lesson_image, lesson_model
    >>> flow = gradients(lesson_model(), lesson_image(), "falling line")
    >>> flow.outputs[0][..., 0].tolist()
    [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
    """
    return gradient_flow(trace(model, image), read_target(model, target))


def gradient_flow(traced: Trace, target: GradientTarget) -> GradientFlow:
    """Follow the gradient of a target back through a traced network."""
    with np.errstate(all="ignore"):
        found = backward(traced.graph, traced.parameters, traced.run, target.gradient(traced.logits)[None], image=True)
        value = target.value(traced.logits)
    assert found.image is not None  # it was asked for
    outputs = tuple(found.outputs[node.index][0] for node in traced.graph.nodes)
    return GradientFlow(traced, target, value, found.image[0], found.outputs[IMAGE][0], outputs)


def inner_gradient(
    traced: Trace, target: GradientTarget, layer: int, progress: ProgressListener = no_progress
) -> Array:
    """Follow the gradient of a target back as far as what one layer gave, and no farther: (P, Q, K) or (F,).

    Arguments:
        traced: a traced network.
        target: what the gradient is of.
        layer: index of the layer.
        progress: told after each layer; what it raises ends the work.
    """
    run, nodes = traced.run, traced.graph.nodes
    found: dict[int, Array] = {len(nodes) - 1: target.gradient(traced.logits)[None]}
    behind = range(len(nodes) - 1, layer, -1)
    for done, index in enumerate(behind):
        if index in found:
            dy = found.pop(index)
            with np.errstate(all="ignore"):
                sent = backward_node(nodes[index], traced.parameters, run.inputs(index), run.choices[index], dy, None)
            for value, part in zip(nodes[index].inputs, sent.inputs, strict=True):
                if value >= layer:
                    found[value] = found[value] + part if value in found else part
        progress((done + 1) / len(behind), "layers")
    result: Array = found[layer][0] if layer in found else np.zeros_like(traced.output(layer))
    return result


def conserved(node: Node) -> bool | None:
    """Whether the gradient of a layer's input adds up to that of its output: True for poolings none of whose windows
    meets padding; False for averages that leave a share on padding; None where nothing of the kind is promised.

    Max pooling conserves the sum whatever its padding, since padding never wins.
    """
    return rule_of(node).conserves(node)


@dataclass(frozen=True, slots=True)
class Difference:
    """How far the gradient of the pixels is from central finite differences.

    checked: pixels where they were taken (those of the largest gradients, and others spread over the image).
    largest: the largest difference, relative to the largest gradient among them, or to the smallest that rounding
        lets one see; NaN if something is not finite.
    skipped: pixels left out because the network has a kink between the two points: a ReLU that opens or an argmax that
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
        same_piece = rule_of(node).smooth
        if same_piece is not None:
            with np.errstate(all="ignore"):
                smooth &= same_piece(run, traced.parameters, node)
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
    """What one layer sends back to one cell of its input.

    places: (n, 3) row, column and channel of the outputs that send some; of a vector, (0, 0, place).
    factors: (n,) what each sends, as a share of its own gradient: a weight, 1 for an argmax, 1 / cells of an average,
        an activation's slope.
    gradients: (n,) of those outputs.
    contributions: (n,) factor × gradient; they add up to `total`. Largest first.
    total: what this layer sends to the cell.
    gradient: of the cell: what all layers that take it send, added up.
    """

    places: NDArray[np.int64]
    factors: Array
    gradients: Array
    contributions: Array
    total: float
    gradient: float


def route(flow: GradientFlow, index: int, row: int, column: int, channel: int, position: int = 0) -> Route:
    """Take apart what a layer sends back to a cell of its input.

    Arguments:
        flow: the gradient at every layer.
        index: of the layer.
        row, column, channel: the cell of its input; of a vector, row and column are 0 and channel is the place in it.
        position: which input, of a layer that takes several.

    Raises:
        SettingError: there is no such cell, or the layer is not explained.
    """
    node = flow.traced.graph.nodes[index]
    check_index("position", position, len(node.inputs))
    shape = node.shapes[position]
    sides = (shape.height, shape.width, shape.channels) if isinstance(shape, ImageShape) else (1, 1, shape.size)
    for name, place, count in zip(("row", "column", "channel"), (row, column, channel), sides, strict=True):
        check_index(name, place, count)
    dy = flow.outputs[index]
    found = list(rule_of(node).senders(Cell(flow.traced, node, position, (row, column, channel))))
    places = np.array([place for place, _ in found], np.int64).reshape(-1, 3)
    factors = np.array([factor for _, factor in found], np.float64)
    grid = dy if dy.ndim == 3 else dy[None, None]
    sent = grid[tuple(places.T)] if len(places) else np.zeros(0)
    with np.errstate(all="ignore"):
        contributions = factors * sent
    order = np.argsort(-np.abs(contributions), kind="stable")

    def at_cell(gradient: Array) -> float:
        return float(gradient[row, column, channel] if gradient.ndim == 3 else gradient[channel])

    total, gradient = at_cell(flow.sent(index, position)), at_cell(flow.input(index, position))
    return Route(places[order], factors[order], sent[order], contributions[order], total, gradient)
