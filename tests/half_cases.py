"""What tests of bfloat16 share: its values, the sums of tiles in NumPy, and cases that bfloat16 represents."""

from __future__ import annotations

import numpy as np

from conformance_cases import Case, exact_slopes, nothing_rounds
from neocog.nn.graph import IMAGE, Graph, Node
from neocog.nn.layers import Conv2d, Linear
from neocog.nn.losses import CrossEntropy, MeanSquaredError
from neocog.nn.parameters import variables_of
from neocog.reference import loss
from neocog.reference.network import Draw, backward, backward_node, forward, forward_node

TINY = np.float32(2.0**-126)  # the least normal number


def to_words(values: np.ndarray) -> np.ndarray:
    """Round float32 to bfloat16, to nearest with ties to even; numbers below the least normal one become zero."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = bits + 0x7FFF + ((bits >> 16) & 1)
    nearest = np.where(bits & 0x7F800000 == 0, bits & 0x80000000, nearest)
    nearest = np.where(np.isnan(values), bits | 0x400000, nearest)
    return (nearest >> 16).astype(np.uint16)


def from_words(words: np.ndarray) -> np.ndarray:
    """Return bfloat16 as float32."""
    return (words.astype(np.uint32) << 16).view(np.float32)


def rounded(values: np.ndarray) -> np.ndarray:
    """Return the float32 that bfloat16 can represent, nearest to each value."""
    return from_words(to_words(values))


def tile_products(sums: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return sums (M, N) + a (M, 32) · b (32, N), as the tile registers of processors add them up.

    Two chains from zero, over even and over odd k, each step a multiply-add in one rounding; then even + odd, and that
    added to the sums. A product of two bfloat16 is exact in float64, and so is its sum with a float32 that is not too
    far from it; so tests keep to numbers of similar size. Denormal numbers count as zero.
    """
    a, b = flushed(rounded(a)).astype(np.float64), flushed(rounded(b)).astype(np.float64)
    chains = []
    for parity in range(2):
        chain = np.zeros(sums.shape, np.float32)
        for k in range(parity, a.shape[1], 2):
            chain = flushed((a[:, k : k + 1] * b[k] + chain.astype(np.float64)).astype(np.float32))
        chains.append(chain)
    return flushed(flushed(sums) + flushed(chains[0] + chains[1]))


def flushed(values: np.ndarray) -> np.ndarray:
    """Return zeros in place of denormal numbers."""
    return np.where(np.abs(values) < TINY, np.copysign(np.float32(0), values), values).astype(np.float32)


def representable_case(graph: Graph, count: int, seed: int) -> Case | None:
    """Return a case without rounding whose values, layer by layer, bfloat16 represents too; None if there is none.

    There are fewer numbers that are not zero, until it is one. Weights are -1, 0 and 1.
    """
    for share in (1.0, 0.5, 0.25, 0.125, 0.06):
        rng = np.random.default_rng(seed)
        parameters = {}
        for variable in variables_of(graph):
            values = rng.integers(-1, 2, variable.shape) * (rng.random(variable.shape) < share)
            parameters[variable.name] = values.astype(np.float32)
        sides = (graph.input.height, graph.input.width, graph.input.channels)
        images = rng.integers(-1, 3, (count, *sides)).astype(np.float32)
        run = forward(graph, {name: value.astype(np.float64) for name, value in parameters.items()}, images)
        values = [run.image, *(run.outputs[node.index] for node in graph.nodes)]
        if all((rounded(value.astype(np.float32)) == value).all() for value in values):
            return Case(graph, parameters, images, np.zeros(count, np.int32), CrossEntropy(), count, seed)
    return None


def representable_step(graph: Graph, count: int, seed: int) -> Case | None:
    """Return a training step without rounding whose values and gradients, layer by layer, bfloat16 represents too; None
    if there is none. Weights are -1, 0 and 1, fewer and fewer of them not zero.
    """
    slopes = exact_slopes(count * (graph.output.size // graph.classes), graph.classes)
    for share in (1.0, 0.5, 0.25, 0.12, 0.06):
        rng = np.random.default_rng(seed)
        parameters = {}
        for variable in variables_of(graph):
            values = rng.integers(-1, 2, variable.shape) * (rng.random(variable.shape) < share)
            parameters[variable.name] = values.astype(np.float32)
        exact = {name: value.astype(np.float64) for name, value in parameters.items()}
        sides = (graph.input.height, graph.input.width, graph.input.channels)
        images = rng.integers(-1, 3, (count, *sides)).astype(np.float32)
        draw = Draw(seed, 1)
        run = forward(graph, exact, images, draw)
        d_logits = rng.choice(slopes, run.logits.shape)
        targets = run.logits - d_logits * run.logits.size / 2
        back = backward(graph, exact, run, d_logits, image=True)
        values = [run.image, *run.outputs, *back.outputs.values()]
        same = all((rounded(value.astype(np.float32)) == value).all() for value in values)
        if (
            same
            and (targets == targets.astype(np.float32)).all()
            and nothing_rounds(graph, exact, images, d_logits, draw)
        ):
            return Case(graph, parameters, images, targets.astype(np.float32), MeanSquaredError(), count, seed)
    return None


def rounded_step(case: Case) -> dict[str, np.ndarray]:
    """Return the gradients of a step by name, and its "logits", where the reference computes it, in float64, with
    factors of convolutions and fully connected layers that are rounded to bfloat16 first: images, weights, and the
    gradients of what they gave; and so is what they give, but for the last one, and the gradients that they send.
    Filters of one channel each are not rounded: they multiply in float32.
    """
    graph, draw = case.graph, Draw(case.seed, 1)
    parameters = {name: value.astype(np.float64) for name, value in case.parameters.items()}
    factors = {name: _half(value) if name.endswith("weight") else value for name, value in parameters.items()}
    outputs, choices, inputs = {IMAGE: forward(graph, parameters, case.images, draw).image}, {}, {}
    for node in graph.nodes:
        multiplies = isinstance(node.layer, Conv2d | Linear)
        taken = [outputs[number] for number in node.inputs]
        inputs[node.index] = [_half(x) for x in taken] if multiplies else taken
        result = forward_node(node, _own(node, parameters, factors), inputs[node.index], draw)
        rounds = multiplies and node is not graph.nodes[-1]
        outputs[node.index] = _half(result.output) if rounds else result.output
        choices[node.index] = result.choice
    logits = outputs[len(graph.nodes) - 1]
    gradients, found = {len(graph.nodes) - 1: loss.backward(case.loss, logits, case.targets)}, {}
    for node in reversed(graph.nodes):
        multiplies = isinstance(node.layer, Conv2d | Linear)
        dy = _half(gradients[node.index]) if multiplies else gradients[node.index]
        own = _own(node, parameters, factors)
        sent = backward_node(node, own, inputs[node.index], choices[node.index], dy, draw)
        found |= {f"{node.name}.{name}": value for name, value in sent.variables.items()}
        for number, part in zip(node.inputs, sent.inputs, strict=True):
            gradients[number] = gradients.get(number, 0) + (_half(part) if multiplies else part)
    return found | {"logits": logits}


def _own(node: Node, exact: dict[str, np.ndarray], rounded_: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a layer's parameters as it computes with them."""
    layer = node.layer
    one_by_one = isinstance(layer, Conv2d) and 1 < layer.groups == layer.channels and node.weight_shape[2] == 1
    return rounded_ if isinstance(layer, Conv2d | Linear) and not one_by_one else exact


def _half(values: np.ndarray) -> np.ndarray:
    return rounded(values.astype(np.float32)).astype(np.float64)
