"""How far a float32 engine may stray from the reference: a running error analysis, value by value.

Beside every number v that the reference computes runs a bound e on |computed v - v|, by the rules of Higham 2002,
Accuracy and Stability of Numerical Algorithms, chapters 3 and 4. With the unit roundoff u = 2^-24 and
gamma(n) = n·u / (1 - n·u):

- A sum of n products, in any order, with or without fused multiply-adds, gives each product a factor within
  1 ± gamma(n). Where the inputs stray by e themselves, the sum strays by at most
      sum |w|·e  +  gamma(n) · sum |w|·(|x| + e).
- max(x, 0) and the largest of a window stray by no more than what they look at; a smooth function by its slope times
  that, and its slope by its second derivative times that.
- Where several values are added, or several consumers send a gradient, the bounds add up, and one rounding each.
- The gates are the hard part: ReLU opens and pooling chooses by the computed values. Where x is farther from 0 than e,
  and where the best of a window leads by more than both bounds, the gate is certain and the gradient's own bound passes
  through. Elsewhere the engine may rightly decide the other way, and the bound grows by the whole gradient |dy|.

So nothing has to be assumed about near ties, and the bound is a true one for any order of summation. It is no bound for
algorithms that form other products, such as Winograd's.

A true bound must allow for all roundings pulling one way, which they hardly ever do: usual errors lie about a hundred
times below it for two layers, and many thousands for several of hundreds of terms. `single_precision_error` is the
companion for that: the error that the reference itself makes in float32 on such a case. A sound engine makes about
the same, root mean square, wherever `gates_are_clear`.

rounding/ has the rule of each layer; here is what follows the edges, and the loss.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from conformance_cases import Case
from neocog.nn.graph import IMAGE, Graph, Normalisation
from neocog.nn.layers import BatchNorm2d, GroupNorm, LayerNorm2d, Maxout, MaxPool2d, PReLU
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy
from neocog.reference import loss, network
from neocog.reference.normalization import batch_statistics, group_statistics, pixel_statistics
from rounding.channels import maxout_error, share_error
from rounding.functions import SHAPES
from rounding.pooling import argmax_error
from rounding.rule import EXP, Mass, Use, gamma
from rounding.rules import RULES
from rounding.weighted import roundings_back

TINY = 2.0**-120  # far above what is lost when the smallest numbers are flushed to zero


@dataclass(frozen=True)
class Bounds:
    """What the reference computed (in float64), and how far a float32 engine may be from it.

    of_outputs: by index of the layer. of_buffers: of their new values, after a training step.
    """

    run: network.ForwardPass
    loss: float
    gradients: dict[str, np.ndarray]
    of_outputs: tuple[np.ndarray, ...]
    of_loss: float
    of_gradients: dict[str, np.ndarray]
    of_buffers: dict[str, np.ndarray]

    @property
    def of_logits(self) -> np.ndarray:
        """Bound of the logits."""
        return self.of_outputs[-1]


def error_bound(case: Case, *, training: bool, step: int = 1) -> Bounds:
    """Run the reference on a case, and bound what float32 may add.

    Arguments:
        case: the network and its batch.
        training: whether Dropouts drop and batch statistics count. If not, there are no bounds of gradients.
        step: its number.
    """
    graph, draw = case.graph, network.Draw(case.seed, step) if training else None
    parameters = {name: value.astype(np.float64) for name, value in case.parameters.items()}
    run = network.forward(graph, parameters, case.images, draw)
    with np.errstate(over="ignore", invalid="ignore"):  # a bound may be infinite
        uses, of_buffers = _forward_errors(case, parameters, run)
        value = loss.forward(case.loss, run.logits, case.targets)
        of_loss, of_d_logits = loss_error(case, run.logits, uses[-1].error)
        gradients, of_gradients = {}, {}
        if training:
            d_logits = loss.backward(case.loss, run.logits, case.targets)
            found = network.backward(graph, parameters, run, d_logits, image=True)
            gradients = found.parameters
            of_gradients, _ = _backward_errors(parameters, run, uses, found, of_d_logits)
    return Bounds(run, value, gradients, tuple(use.error for use in uses), of_loss, of_gradients, of_buffers)


@dataclass(frozen=True)
class ValueBounds:
    """What the reference computed (in float64) where a network predicts: its answers, and the gradients of all values,
    by their number, for one of the answers that is given; and how far a float32 engine may be from them.
    """

    logits: np.ndarray
    gradients: dict[int, np.ndarray]
    of_logits: np.ndarray
    of_gradients: dict[int, np.ndarray]


def value_bounds(case: Case, gradient: np.ndarray) -> ValueBounds:
    """Run the reference on a case, follow a gradient of its answers back, and bound what float32 may add."""
    graph = case.graph
    parameters = {name: value.astype(np.float64) for name, value in case.parameters.items()}
    run = network.forward(graph, parameters, case.images)
    found = network.backward(graph, parameters, run, gradient.astype(np.float64), image=True)
    with np.errstate(over="ignore", invalid="ignore"):
        uses, _ = _forward_errors(case, parameters, run)
        _, of_values = _backward_errors(parameters, run, uses, found, np.zeros(gradient.shape))
    return ValueBounds(run.logits, found.outputs, uses[-1].error, of_values)


def _forward_errors(
    case: Case, parameters: dict[str, np.ndarray], run: network.ForwardPass
) -> tuple[list[Use], dict[str, np.ndarray]]:
    image = image_error(case.graph, case.images)
    errors, masses = {IMAGE: image}, {IMAGE: Mass(np.abs(run.image) + image)}
    uses, of_buffers = [], {}
    for node in case.graph.nodes:
        use = Use(
            node,
            {name.name: parameters[f"{node.name}.{name.name}"] for name in node.layer.variables(*node.shapes)},
            run.inputs(node.index),
            tuple(errors[number] for number in node.inputs),
            tuple(masses[number] for number in node.inputs),
            run.choices[node.index],
            run.draw is not None,
            run.outputs[node.index],
        )
        stray = RULES[type(node.layer)].forward(use)
        error = np.nan_to_num(stray.error, nan=np.inf)
        errors[node.index] = error
        masses[node.index] = stray.mass or Mass(np.abs(use.output) + error)
        uses.append(replace(use, error=error))
        of_buffers |= {f"{node.name}.{name}": value for name, value in stray.buffers.items()}
    return uses, of_buffers


def _backward_errors(
    parameters: dict[str, np.ndarray],
    run: network.ForwardPass,
    uses: list[Use],
    found: network.Gradients,
    of_d_logits: np.ndarray,
) -> tuple[dict[str, np.ndarray], dict[int, np.ndarray]]:
    """Bound the gradients of parameters, and of values. Those of several consumers may be added up in any order, and in
    one sum.
    """
    last = len(uses) - 1
    parts = {number: [] for number in found.outputs}
    parts[last] = [(of_d_logits, np.zeros(()), 0)]
    of_gradients = {}
    for use in reversed(uses):
        node, dy = use.node, found.outputs[use.node.index]
        e_dy = _added(parts[node.index])
        back = RULES[type(node.layer)].backward(use, dy, e_dy)
        sent = network.backward_node(node, parameters, use.inputs, use.choice, dy, run.draw)
        of_gradients |= {f"{node.name}.{name}": np.nan_to_num(e, nan=np.inf) for name, e in back.parameters.items()}
        for number, error, part in zip(node.inputs, back.inputs, sent.inputs, strict=True):
            parts[number].append((error, np.abs(part) + error, roundings_back(node)))
    return of_gradients, {number: _added(of) for number, of in parts.items() if of}


def _added(parts: list[tuple[np.ndarray, np.ndarray, int]]) -> np.ndarray:
    """Bound the gradient of a value by what its consumers send: bounds, sizes, and roundings of sums."""
    errors, sizes, roundings = zip(*parts, strict=True)
    e_dy = sum(errors)
    if len(errors) > 1:
        e_dy = e_dy + gamma(len(errors) + max(roundings)) * sum(sizes)
    return np.nan_to_num(e_dy, nan=np.inf)


def within(computed: np.ndarray, exact: np.ndarray, bound: np.ndarray) -> bool:
    """Tell whether an engine's numbers stay within their bound."""
    return bool((np.abs(computed.astype(np.float64) - exact) <= bound + TINY).all())


def single_precision_error(case: Case, variants: int = 5) -> dict[str, float]:
    """Return the root mean square error of the reference run in float32: of "logits", and of each gradient by name.

    One run may be lucky where few numbers decide, so the largest error is given of some runs with slightly scaled
    parameters, each against float64.
    """
    worst: dict[str, float] = {}
    for variant in range(variants):
        scale = np.float32(1 + variant / 64)
        parameters = {name: value * scale for name, value in case.parameters.items()}
        single = _logits_and_gradients(case, parameters)
        double = _logits_and_gradients(case, {name: value.astype(np.float64) for name, value in parameters.items()})
        for name, value in single.items():
            worst[name] = max(worst.get(name, 0.0), rms(value - double[name]))
    return worst


def _logits_and_gradients(case: Case, parameters: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    run = network.forward(case.graph, parameters, case.images, case.draw)
    d_logits = loss.backward(case.loss, run.logits, case.targets)
    return network.backward(case.graph, parameters, run, d_logits).parameters | {"logits": run.logits}


def rms(values: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.square(values, dtype=np.float64).mean()))


def gates_are_clear(case: Case, run: network.ForwardPass, margin: float = 1e-5) -> bool:
    """Tell whether a run's decisions are certain, by more than `margin` of the root mean square of what they look at.

    Kinks, poolings and Maxouts decide. A channel or group without variance counts as undecided too: what is made of it
    is rounding, and nothing else.
    """
    for node in case.graph.nodes:
        x, choice = run.input(node.index), run.choices[node.index]
        limit = margin * rms(x)
        if type(node.layer) in SHAPES or isinstance(node.layer, PReLU):
            kinks = (0.0,) if isinstance(node.layer, PReLU) else SHAPES[type(node.layer)](node.layer).kinks
            if any((np.abs(x[x != kink] - kink) < 2 * limit).any() for kink in kinks):
                return False
        if isinstance(node.layer, BatchNorm2d) and run.draw is not None:
            batch = batch_statistics(x)
            if (batch.variance < 1e-3 * (batch.variance + batch.mean**2)).any():
                return False
        if isinstance(node.layer, GroupNorm):
            own = group_statistics(x, node.layer)
            if (own.variance < 1e-3 * (own.variance + own.mean**2)).any():
                return False
        if isinstance(node.layer, LayerNorm2d):
            own = pixel_statistics(x)
            if (own.variance < 1e-3 * (own.variance + own.mean**2)).any():
                return False
        if isinstance(node.layer, MaxPool2d | Maxout):
            one = np.ones(choice.shape)
            slack = np.full(x.shape, limit / 2)
            slack[x == 0] = 0  # what a ReLU or a Dropout stopped ties often, and passes no gradient on
            contested = argmax_error if isinstance(node.layer, MaxPool2d) else maxout_error
            if (contested(node.layer, x, slack, choice, 0 * one, one) > 0.5).any():
                return False
    return True


def image_error(graph: Graph, images: np.ndarray) -> np.ndarray:
    """Bound the error of the normalised images.

    Six roundings cover (x / 255 - mean) / std, and x · scale + shift with both factors rounded beforehand. Nothing is
    computed where float images are taken as they are.
    """
    if images.dtype != np.uint8 and graph.normalisation == Normalisation():
        return np.zeros(images.shape)
    mean, std = map(np.array, graph.normalisation.per_channel(graph.input.channels))
    values = images / 255 if images.dtype == np.uint8 else images.astype(np.float64)
    return gamma(6) * (np.abs(values) + np.abs(mean)) / std


def loss_error(case: Case, logits: np.ndarray, e: np.ndarray) -> tuple[float, np.ndarray]:
    """Bound the errors of the loss and of its gradient in the logits; `share_error` explains the softmax's."""
    outputs = logits.shape[-1]
    count = logits.size // outputs  # images, or pixels of all images
    if isinstance(case.loss, CrossEntropy):
        mass = loss.masses(case.loss, case.targets, outputs) * count / loss.divisor(case.loss, case.targets, outputs)
        whole = mass.sum(axis=-1, keepdims=True)
        # A label without weights has masses that are exact, and 1 in all; others round up to 6 times, and are added.
        exact = case.targets.dtype.kind == "i" and case.loss.weights is None
        p = loss.softmax(logits)
        relative, stray, shifted = share_error(logits, e)
        size = whole * np.minimum(p * (1 + relative), 1) + mass
        gradient = (whole * np.minimum(p * relative, 1) + gamma(4 if exact else outputs + 11) * size) / count
        logs = np.abs(loss.log_softmax(logits)) + stray
        each = (mass * (stray + gamma(outputs + 2 * EXP * 2 + 3) * (1 + logs + shifted))).sum(axis=-1)
        # The logarithm of the sum, which is logs + shifted, times the masses' sum, less the sum of mass times shifted.
        each += gamma(2 * outputs + 14) * (mass * (logs + shifted)).sum(axis=-1)
        each += gamma(outputs + count + 3) * (mass * logs).sum(axis=-1)
        return float(each.mean()), gradient
    if isinstance(case.loss, BinaryCrossEntropy):
        no, yes = 1.0 - case.targets, loss.positive_weight(case.loss) * case.targets
        # softplus moves by no more than its argument does, and sigmoid by a quarter of that. log(1 + small) is rounded
        # like an exponential and a logarithm, and what is added to it may be twice as large.
        value = no * (loss.softplus(logits) + e) + yes * (loss.softplus(-logits) + e)
        of_value = ((no + yes) * e).mean() + gamma(3 * (4 * EXP + 6) + 6 + outputs + count) * value.mean()
        off = (no + yes) * np.minimum(e / 4, 1)
        size = no * loss.sigmoid(logits) + yes * loss.sigmoid(-logits) + off
        return float(of_value), (off + gamma(2 * EXP + 13) * size) / logits.size
    difference = np.abs(logits - case.targets)
    far = difference + e
    rounding = gamma(1) * (np.abs(logits) + e + np.abs(case.targets))
    off = e + np.minimum(rounding, gamma(1) * far)
    gradient = 2 / logits.size * (off + gamma(4) * (difference + off))
    value = (2 * difference * off + off**2).mean() + gamma(logits.size + 4) * ((difference + off) ** 2).mean()
    return float(value), gradient
