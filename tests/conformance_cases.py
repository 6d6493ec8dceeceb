"""Numbers that every engine is tried on: networks with parameters and images, and cases without rounding.

A case without rounding holds integers so small that float32 represents every number on the way, gradients included,
whatever the order of summation. An engine must then give the reference's numbers exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from hypothesis import assume, settings
from hypothesis import strategies as st

from conformance_networks import cells_of, networks
from neocog.nn.graph import IMAGE, Graph, Node, Normalisation
from neocog.nn.layers import (
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    GlobalAvgPool2d,
    LeakyReLU,
    Linear,
    Multiply,
)
from neocog.nn.losses import Loss, MeanSquaredError
from neocog.nn.parameters import Parameter, variables_of
from neocog.reference.network import Draw, ForwardPass, backward, backward_node, forward, forward_node

EXACT_BITS = 24  # float32 represents every integer up to 2^24
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
