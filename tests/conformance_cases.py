"""Networks and numbers that every engine is tried on: landmarks, random networks, and cases without rounding.

A case without rounding holds integers so small that float32 represents every number on the way, gradients included,
whatever the order of summation. An engine must then give the reference's numbers exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from hypothesis import assume, settings
from hypothesis import strategies as st

from neocog.errors import ShapeError
from neocog.nn.blocks import Sequential
from neocog.nn.graph import IMAGE, Graph, Node, Normalisation, trace
from neocog.nn.layers import (
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    GlobalAvgPool2d,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool2d,
    Multiply,
    ReLU,
)
from neocog.nn.losses import Loss, MeanSquaredError
from neocog.nn.parameters import Parameter, variables_of
from neocog.nn.shapes import ImageShape
from neocog.nn.window import counts
from neocog.reference.network import Draw, ForwardPass, backward, backward_node, forward, forward_node

EXACT_BITS = 24  # float32 represents every integer up to 2^24
CHANNELS = (1, 2, 3, 5, 7, 8, 16, 17, 32, 40)
AVERAGES = AvgPool2d | AdaptiveAvgPool2d | GlobalAvgPool2d


def examples(share: float) -> settings:
    """Return settings that draw `share` of the profile's examples, for tests that compile or train."""
    return settings(max_examples=max(3, round(settings().max_examples * share)))


@dataclass(frozen=True)
class Case:
    """A network, its parameters, a batch for it, and how to take a step."""

    graph: Graph
    parameters: dict[str, np.ndarray]
    images: np.ndarray
    targets: np.ndarray
    loss: Loss
    batch_size: int
    seed: int

    @property
    def draw(self) -> Draw:
        """What the Dropouts of the first step keep."""
        return Draw(self.seed, 1)


# Networks ------------------------------------------------------------------------------------------------------------


def _graph(shape: tuple[int, int, int], *layers: Layer) -> Graph:
    return trace(Sequential(*layers), shape)


LANDMARKS: dict[str, Graph] = {
    "article": _graph((6, 6, 1), Conv2d(2, 3, bias=False), MaxPool2d(2), Flatten(), Linear(2)),
    "two stages": _graph(
        (14, 14, 1),
        *(Conv2d(8, 3), ReLU(), MaxPool2d(2), Conv2d(16, 3), ReLU(), MaxPool2d(2)),
        *(Flatten(), Linear(16), ReLU(), Linear(10)),
    ),
    "a window of 306 cells": _graph((21, 20, 2), Conv2d(3, 1), MaxPool2d((18, 17), 2), Flatten(), Linear(2)),
    "nothing but linear": _graph((3, 2, 5), Flatten(), Linear(7)),
    "one pixel, one class": _graph((1, 1, 1), Conv2d(1, 1), Flatten(), Linear(1)),
    "1x1 kernels": _graph((5, 4, 3), Conv2d(17, 1), ReLU(), Conv2d(7, 1, bias=False), Flatten(), Linear(4)),
    "kernel as large as the image": _graph((5, 3, 2), Conv2d(8, (5, 3)), Flatten(), ReLU(), Linear(3)),
    "11x11, stride 4": _graph((27, 31, 3), Conv2d(8, 11, stride=4, padding=2), ReLU(), MaxPool2d(3, 2), Flatten()),
    "stride beyond the kernel": _graph((11, 10, 2), Conv2d(5, 2, stride=3), ReLU(), Flatten(), Linear(4)),
    "same, even kernel": _graph((7, 8, 3), Conv2d(7, (2, 4), padding="same"), ReLU(), Flatten(), Linear(4)),
    "same, stride 2": _graph((7, 8, 3), Conv2d(4, 3, stride=2, padding="same"), Flatten(), Linear(4)),
    "dilated": _graph((9, 12, 1), Conv2d(3, 3, dilation=(2, 3), padding=(2, 3)), ReLU(), Flatten(), Linear(4)),
    "windows of nothing but padding": _graph((3, 3, 2), Conv2d(3, 2, padding=3), ReLU(), Flatten(), Linear(2)),
    "rectangular everything": _graph(
        (9, 5, 2),
        *(Conv2d(5, (1, 3), stride=(2, 1), padding=(0, 2)), MaxPool2d((2, 3), (1, 2), (1, 1)), Flatten(), Linear(8)),
    ),
    "overlapping pools": _graph((8, 9, 3), MaxPool2d(3, 1, 1), Conv2d(8, 3), MaxPool2d(3, 2), Flatten(), Linear(2)),
    "pool that leaves a rest": _graph((7, 9, 1), Conv2d(4, 1), ReLU(), MaxPool2d(2), Flatten(), Linear(2)),
    "large windows over many channels": _graph(
        (7, 6, 2), Conv2d(72, 1), MaxPool2d(5, 1, 2), ReLU(), AvgPool2d(4, 1, 1), Flatten(), Linear(2)
    ),
    "mean pools": _graph((8, 9, 3), AvgPool2d(2), ReLU(), Conv2d(4, 2), AvgPool2d(2, 1, 1), Flatten(), Linear(4)),
    "ReLU first": _graph((5, 5, 3), ReLU(), Conv2d(4, 3, padding=1), ReLU(), ReLU(), Flatten(), ReLU(), Linear(2)),
    "flatten, then ReLU": _graph((4, 4, 2), Conv2d(3, 3), Flatten(), ReLU(), Linear(3), ReLU(), Linear(2), ReLU()),
    "dropouts": _graph(
        (6, 6, 2),
        *(Dropout(0.5), Conv2d(4, 3), ReLU(), Dropout(0.75), MaxPool2d(2), Flatten(), Dropout(0.5)),
        *(Linear(8), Dropout(0.0), ReLU(), Dropout(0.5), Linear(4)),
    ),
    "nested": _graph(
        (8, 8, 3),
        Sequential(Conv2d(4, 3), ReLU()),
        Sequential(Sequential(Conv2d(5, 3, padding=1), ReLU()), MaxPool2d(2)),
        Sequential(Flatten(), Linear(6), Sequential(ReLU(), Linear(4))),
    ),
    "40 channels": _graph((4, 4, 40), Conv2d(40, 3, padding=1), ReLU(), Conv2d(33, 3), Flatten(), Linear(4)),
}


@st.composite
def networks(draw: st.DrawFn, exact: bool = False) -> Graph:
    """Draw any small network.

    Arguments:
        exact: whether means and scales must be powers of two, so that float32 rounds nothing.
    """
    shape = ImageShape(draw(st.integers(1, 13)), draw(st.integers(1, 13)), draw(st.sampled_from((1, 3, 5, *CHANNELS))))
    normalisation = draw(st.sampled_from((Normalisation(), Normalisation((1.0,), (2.0,)), Normalisation((0.5,)))))
    if not exact and draw(st.booleans()):
        normalisation = Normalisation(tuple(0.2 + 0.1 * c for c in range(shape.channels)), (0.3,))
    first, x, layers = shape, shape, []
    for _ in range(draw(st.integers(0, 4))):
        layer = draw(image_layers(x, exact))
        x = layer.output_shape(x)
        layers.append(layer)
    layers.append(Flatten())
    for _ in range(draw(st.integers(0, 3))):
        linear = st.builds(Linear, st.integers(1, 20), st.booleans())
        layers.append(draw(st.one_of(linear, st.just(ReLU()), dropouts(exact))))
    if draw(st.integers(0, 3)) or not any(isinstance(layer, Conv2d | Linear) for layer in layers):
        layers.append(Linear(draw(st.sampled_from((1, 2, 4, 7, 8, 10))), draw(st.booleans())))
    if draw(st.booleans()):
        start = draw(st.integers(0, len(layers) - 1))
        stop = draw(st.integers(start + 1, len(layers)))
        layers[start:stop] = [Sequential(*layers[start:stop])]
    return trace(Sequential(*layers), first, normalisation)


@st.composite
def image_layers(draw: st.DrawFn, x: ImageShape, exact: bool) -> Layer:
    """Draw a layer that takes images of shape `x`."""
    kind = draw(st.sampled_from(("conv", "conv", "conv", "relu", "max", "max", "avg", "dropout")))
    if kind == "relu":
        return ReLU()
    if kind == "dropout":
        return draw(dropouts(exact))
    layer = draw(convs() if kind == "conv" else pools(MaxPool2d if kind == "max" else AvgPool2d, exact))
    try:
        layer.output_shape(x)
    except ShapeError:
        return replace(layer, padding="same") if isinstance(layer, Conv2d) else type(layer)(1)
    return layer


def pairs(numbers: st.SearchStrategy[int]) -> st.SearchStrategy[int | tuple[int, int]]:
    """Draw one number for both axes, or a pair."""
    return st.one_of(numbers, st.tuples(numbers, numbers))


def convs() -> st.SearchStrategy[Conv2d]:
    """Draw convolutions, most of them of the usual sizes."""
    sides = st.tuples(st.integers(0, 3), st.integers(0, 3))
    usual = st.builds(
        Conv2d,
        st.sampled_from(CHANNELS),
        pairs(st.sampled_from((3, 1, 2, 4, 5))),
        pairs(st.sampled_from((1, 1, 2, 3))),
        st.one_of(st.just("same"), pairs(st.integers(0, 3)), st.tuples(sides, sides)),
        pairs(st.sampled_from((1, 1, 2, 3))),
        st.booleans(),
    )
    large = st.builds(
        Conv2d, st.sampled_from(CHANNELS), st.sampled_from((7, 11)), st.sampled_from((1, 2, 4)), st.just("same")
    )
    return st.one_of(usual, usual, usual, large)


@st.composite
def pools(draw: st.DrawFn, kind: type[MaxPool2d] | type[AvgPool2d], exact: bool) -> MaxPool2d | AvgPool2d:
    """Draw a pooling; the area of an exact mean is a power of two, whatever a window meets of the padding."""
    sides = (1, 2, 4) if exact and kind is AvgPool2d else (1, 2, 3, 4)
    window = draw(pairs(st.sampled_from(sides)))
    vertical, horizontal = window if isinstance(window, tuple) else (window, window)
    stride = draw(st.one_of(st.none(), pairs(st.integers(1, 3))))
    padding = draw(st.tuples(st.integers(0, vertical // 2), st.integers(0, horizontal // 2)))
    if kind is MaxPool2d:
        return MaxPool2d(window, stride, padding, draw(st.booleans()))
    if exact:
        return AvgPool2d(window, stride, padding)
    return AvgPool2d(window, stride, padding, draw(st.booleans()), draw(st.booleans()))


def cells_of(node: Node) -> np.ndarray:
    """Return how many cells count in each window of a mean (P, Q)."""
    return np.multiply.outer(*counts(node.layer.counted_over(node.input)))


def dropouts(exact: bool) -> st.SearchStrategy[Dropout]:
    """Draw a Dropout; the scale of an exact one is a power of two."""
    return st.sampled_from((0.0, 0.5, 0.75) if exact else (0.0, 0.2, 0.5, 0.75)).map(Dropout)


# Cases without rounding ----------------------------------------------------------------------------------------------

# From plentiful numbers to few: largest image value, largest weight, how many weights of a sum are not zero.
LEVELS = ((3, 2, None), (2, 1, None), (2, 1, 32), (1, 1, 12), (1, 1, 5), (1, 1, 2))


@st.composite
def exact_cases(draw: st.DrawFn, graphs: st.SearchStrategy[Graph] | None = None) -> Case:
    """Draw any small network with a case without rounding.

    Arguments:
        graphs: where networks come from, whose settings must be exact; default: chains of the oldest layers.
    """
    graph = draw(networks(exact=True) if graphs is None else graphs)
    count = exact_count(draw(st.integers(1, 5)), graph)
    assume(count)
    case = integer_case(graph, count, draw(st.integers(0, 2**32 - 1)), batch_size=count + draw(st.integers(0, 3)))
    assume(case is not None)
    assert case is not None
    return case


def integer_case(graph: Graph, count: int, seed: int, batch_size: int | None = None) -> Case | None:
    """Make a case without rounding for a network, with as large numbers as it bears; None if it bears none.

    Arguments:
        graph: means over powers of two, Dropout rates 0, 1/2 or 3/4, no division in the normalisation but by those.
        count: images.
        seed: same seed, same case.
        batch_size: the most images of a step; default: `count`.
    """
    cases = integer_steps(graph, count, seed, steps=1, batch_size=batch_size)
    return cases[0] if cases else None


def integer_steps(
    graph: Graph, count: int, seed: int, *, steps: int, batch_size: int | None = None
) -> list[Case] | None:
    """Make a case without rounding for each of some steps in a row, all with the same parameters.

    The loss is the mean squared error. Its targets are chosen so that its gradient in each logit is a small integer m:
    target = logit - m · (N · outputs) / 2.
    """
    for brightest, heaviest, fan in LEVELS:
        rng = np.random.default_rng(seed)
        parameters = {}
        for parameter in variables_of(graph):
            values = rng.integers(-heaviest, heaviest + 1, parameter.shape)
            if fan is not None and not parameter.is_vector:
                inputs = parameter.size // parameter.shape[-1]
                values *= rng.random(parameter.shape) < fan / inputs
            parameters[parameter.name] = values.astype(np.float32)
        cases = []
        for step in range(1, steps + 1):
            sides = (graph.input.height, graph.input.width, graph.input.channels)
            images = rng.integers(-1, brightest + 1, (count, *sides)).astype(np.float32)
            targets = _integer_targets(graph, parameters, images, Draw(seed, step), rng)
            if targets is not None:
                cases.append(Case(graph, parameters, images, targets, MeanSquaredError(), batch_size or count, seed))
        if len(cases) == steps:
            return cases
    return None


def exact_count(count: int, graph: Graph) -> int:
    """Return a number of images near `count` with which some gradient in the logits is exact and not zero; 0 if none.

    Where a network answers pixel by pixel, each pixel of an image counts as one.
    """
    pixels = graph.output.size // graph.classes
    tried = (count, 4 if count > 3 else 2)
    return next((n for n in tried if len(exact_slopes(n * pixels, graph.classes)) > 1), 0)


def _integer_targets(
    graph: Graph, parameters: dict[str, np.ndarray], images: np.ndarray, draw: Draw, rng: np.random.Generator
) -> np.ndarray | None:
    exact = {name: value.astype(np.float64) for name, value in parameters.items()}
    logits = forward(graph, exact, images, draw).logits
    outputs = logits.shape[-1]
    d_logits = rng.choice(exact_slopes(logits.size // outputs, outputs), logits.shape)
    targets = logits - d_logits * logits.size / 2
    if (targets != targets.astype(np.float32)).any() or not nothing_rounds(graph, exact, images, d_logits, draw):
        return None
    return targets.astype(np.float32)


@cache
def exact_slopes(count: int, outputs: int) -> tuple[float, ...]:
    """List the gradients m that come out exact in float32 from the difference m · count · outputs / 2.

    The factor 2 / (count · outputs) has many renderings, in one piece or two, as divisions or as multiplications by a
    rounded reciprocal. Only an m that survives them all tells nothing about the rendering.
    """
    one, two, n, o = np.float32(1), np.float32(2), np.float32(count), np.float32(outputs)

    def survives(m: int) -> bool:
        difference = np.float32(m * count * outputs / 2)
        factors = (two / (n * o), two * (one / (n * o)), (one / n) * (two / o), two * ((one / n) * (one / o)))
        factors += ((one / n) / o * two, (two / o) / n)
        ways = [difference * factor for factor in factors]
        ways += [two * difference * (factor / two) for factor in factors]
        ways += [difference / (n * o / two), two * difference / (n * o)]
        for first, second in ((n, o / two), (o / two, n), (n, o), (o, n)):
            left = first * second / (n * o / two)  # 1, or 2 where the 2 is not in them yet
            for part in (difference / first, difference * (one / first)):
                ways += [part / second * left, part * (one / second) * left]
        return all(way == m for way in ways)

    return tuple(float(m) for m in range(-4, 5) if survives(m))


def _bits(values: np.ndarray, quantum: float) -> float:
    """Return the binary digits of the largest of values that are multiples of `quantum`."""
    return float(np.log2(max(1.0, np.abs(values).max(initial=0.0) / quantum)))


def nothing_rounds(
    graph: Graph, parameters: dict[str, np.ndarray], images: np.ndarray, d_logits: np.ndarray, draw: Draw
) -> bool:
    """Tell whether every sum of a forward and a backward pass is exact in float32, in any order of its terms.

    Each number is a multiple of a quantum, a power of two that only a mean, a slope and a product make smaller. A sum
    is exact, and so is every part of it, when the sum of its terms' magnitudes stays below 2^24 quanta. What is added
    to a sum of products, or sent by several consumers, may be part of the same sum.
    """
    run = forward(graph, parameters, images, draw)
    sizes = {name: np.abs(value) for name, value in parameters.items()}
    quanta = {IMAGE: 0.25 if graph.normalisation != Normalisation() else 1.0}
    totals = {IMAGE: np.abs(run.image)}
    if _bits(run.image, quanta[IMAGE]) > EXACT_BITS:
        return False
    for node in graph.nodes:
        inputs = [
            totals[number] if isinstance(node.layer, Add) else np.abs(run.value(number)) for number in node.inputs
        ]
        total = forward_node(node, sizes, inputs, draw).output
        quanta[node.index] = _quantum(node, [quanta[number] for number in node.inputs])
        if _bits(total, quanta[node.index]) > EXACT_BITS:
            return False
        totals[node.index] = (
            total
            if isinstance(node.layer, Add | Conv2d | ConvTranspose2d | Linear)
            else np.abs(run.outputs[node.index])
        )
    return _nothing_rounds_back(graph, parameters, run, d_logits, quanta)


def _nothing_rounds_back(
    graph: Graph, parameters: dict[str, np.ndarray], run: ForwardPass, d_logits: np.ndarray, quanta: dict[int, float]
) -> bool:
    gradients = backward(graph, parameters, run, d_logits, image=True)
    sizes = {name: np.abs(value) for name, value in parameters.items()}
    last = len(graph.nodes) - 1
    quantum, totals = {last: 1.0}, {last: np.abs(d_logits)}
    for node in reversed(graph.nodes):
        dy, mine = np.abs(gradients.outputs[node.index]), quantum[node.index]
        taken = [np.abs(x) for x in run.inputs(node.index)]
        # A PReLU sends other things back for values below 0 than for those above.
        ways = [
            backward_node(node, sizes, [sign * x for x in taken], run.choices[node.index], dy, run.draw)
            for sign in (1.0, -1.0)
        ]
        for name in ways[0].variables:
            found = np.maximum(*(np.abs(way.variables[name]) for way in ways))
            if _bits(found, mine * min(quanta[number] for number in node.inputs)) > EXACT_BITS:
                return False
        for place, number in enumerate(node.inputs):
            part = np.maximum(*(np.abs(way.inputs[place]) for way in ways))
            others = [quanta[other] for at, other in enumerate(node.inputs) if at != place]
            own = _quantum(node, [mine, *others] if isinstance(node.layer, Multiply) else [mine])
            quantum[number] = min(own, quantum.get(number, own))
            totals[number] = totals.get(number, 0) + part
            if _bits(totals[number], quantum[number]) > EXACT_BITS:
                return False
    return True


def _quantum(node: Node, quanta: list[float]) -> float:
    """Return what the numbers are multiples of that a layer makes of multiples of `quanta`."""
    if isinstance(node.layer, Multiply):
        return float(np.prod(quanta))
    if isinstance(node.layer, AVERAGES):
        return quanta[0] / cells_of(node).max()
    return min(quanta) * (node.layer.slope if isinstance(node.layer, LeakyReLU) else 1.0)


# Cases with rounding -------------------------------------------------------------------------------------------------


def real_case(
    graph: Graph, count: int, seed: int, loss: Loss, batch_size: int | None = None, *, soft: bool = False
) -> Case:
    """Make a case of ordinary numbers: uint8 or float32 images, normal weights of the usual size, normal biases.

    Arguments:
        soft: whether targets of a CrossEntropy are rows of probabilities, some of them 0.
    """
    rng = np.random.default_rng(seed)
    sides = (graph.input.height, graph.input.width, graph.input.channels)
    images = rng.integers(0, 256, (count, *sides), dtype=np.uint8)
    if seed % 2:
        images = rng.random((count, *sides), np.float32)
    parameters = {parameter.name: _ordinary(parameter, rng) for parameter in variables_of(graph)}
    answers = (count, *graph.answer_shape)
    if isinstance(loss, MeanSquaredError):
        targets = rng.standard_normal(answers, np.float32)
    elif loss.several_labels:
        targets = rng.choice(np.array([0, 1, 0.25], np.float32), answers, p=[0.5, 0.4, 0.1])
    elif soft:
        rows = rng.random(answers) * rng.integers(0, 2, answers) + np.eye(graph.classes)[0]
        targets = (rows / rows.sum(axis=-1, keepdims=True)).astype(np.float32)
    else:
        targets = rng.integers(0, graph.classes, answers[:-1]).astype(np.int32)
    return Case(graph, parameters, images, targets, loss, batch_size or count, seed)


def _ordinary(parameter: Parameter, rng: np.random.Generator) -> np.ndarray:
    """Draw one parameter: weights by their number of inputs, others around what they start with; variances above 0."""
    inputs = 10 if parameter.is_vector else parameter.size // parameter.shape[-1]
    drawn = rng.standard_normal(parameter.shape) * (2 / inputs) ** 0.5
    start = parameter.variable.start or 0.0
    return (start * np.exp(drawn) if parameter.name.endswith("running_var") else start + drawn).astype(np.float32)


@st.composite
def real_cases(
    draw: st.DrawFn, losses: st.SearchStrategy[Loss], graphs: st.SearchStrategy[Graph] | None = None
) -> Case:
    """Draw any small network with ordinary numbers; default of `graphs`: chains of the oldest layers."""
    graph, count = draw(networks() if graphs is None else graphs), draw(st.integers(1, 5))
    seed, spare = draw(st.integers(0, 2**32 - 1)), draw(st.integers(0, 3))
    loss = draw(losses)
    return real_case(graph, count, seed, loss, batch_size=count + spare, soft=draw(st.booleans()))
