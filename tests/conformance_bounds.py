"""How far a float32 engine may stray from the reference: a running error analysis, value by value.

Beside every number v that the reference computes runs a bound e on |computed v - v|, by the rules of Higham 2002,
Accuracy and Stability of Numerical Algorithms, chapters 3 and 4. With the unit roundoff u = 2^-24 and
gamma(n) = n·u / (1 - n·u):

- A sum of n products, in any order, with or without fused multiply-adds, gives each product a factor within
  1 ± gamma(n). Where the inputs stray by e themselves, the sum strays by at most
      sum |w|·e  +  gamma(n) · sum |w|·(|x| + e).
- max(x, 0) and the largest of a window stray by no more than what they look at.
- The gates are the hard part: ReLU opens and pooling chooses by the computed values. Where x is farther from 0 than e,
  and where the best of a window leads by more than both bounds, the gate is certain and the gradient's own bound passes
  through. Elsewhere the engine may rightly decide the other way, and the bound grows by the whole gradient |dy|.

So nothing has to be assumed about near ties, and the bound is a true one for any order of summation. It is no bound for
algorithms that form other products, such as Winograd's.

A true bound must allow for all roundings pulling one way, which they hardly ever do: usual errors lie about a hundred
times below it for two layers, and many thousands for several of hundreds of terms. `single_precision_error` is the
companion for that: the error that the reference itself makes in float32 on such a case. A sound engine makes about
the same, root mean square, wherever `gates_are_clear`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from conformance_cases import Case
from neocog.nn.graph import Graph, Node, Normalisation
from neocog.nn.layers import AvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.losses import CrossEntropy
from neocog.reference import conv, dropout, linear, loss, network, pool
from neocog.reference.taps import image_shape, pad, taps

U = 2.0**-24  # half the distance from 1 to the next float32
TINY = 2.0**-120  # far above what is lost when the smallest numbers are flushed to zero
EXP = 4  # roundings granted to an exponential or a logarithm: 4 units in the last place are 8 of u


def gamma(n: int) -> float:
    """Bound the relative error that n roundings leave."""
    return n * U / (1 - n * U)


@dataclass(frozen=True)
class Bounds:
    """What the reference computed (in float64), and how far a float32 engine may be from it."""

    run: network.Run
    loss: float
    gradients: dict[str, np.ndarray]
    of_outputs: tuple[np.ndarray, ...]
    of_loss: float
    of_gradients: dict[str, np.ndarray]

    @property
    def of_logits(self) -> np.ndarray:
        """Bound of the logits."""
        return self.of_outputs[-1]


def error_bound(case: Case, *, training: bool) -> Bounds:
    """Run the reference on a case, and bound what float32 may add.

    Arguments:
        case: the network and its batch.
        training: whether Dropouts drop, as in the first step.
    """
    graph, draw = case.graph, case.draw if training else None
    parameters = {name: value.astype(np.float64) for name, value in case.parameters.items()}
    run = network.forward(graph, parameters, case.images, draw)
    errors = [image_error(graph, case.images)]
    for node in graph.nodes:
        errors.append(forward_error(node, parameters, run, errors[-1]))
    value = loss.forward(case.loss, run.logits, case.targets)
    d_logits = loss.backward(case.loss, run.logits, case.targets)
    of_loss, error = loss_error(case, run.logits, errors[-1])
    found = network.backward(graph, parameters, run, d_logits, image=True)
    of_gradients: dict[str, np.ndarray] = {}
    for node in reversed(graph.nodes):
        dy = found.outputs[node.index]
        error, of_node = backward_error(node, parameters, run, errors[node.index], dy, error)
        of_gradients |= of_node
    return Bounds(run, value, found.parameters, tuple(errors[1:]), of_loss, of_gradients)


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


def gates_are_clear(case: Case, run: network.Run, margin: float = 1e-5) -> bool:
    """Tell whether every ReLU and every pooling decides by more than `margin` of its inputs' root mean square."""
    for node in case.graph.nodes:
        x = run.input(node.index)
        limit = np.full(x.shape, margin * rms(x) / 2)
        if isinstance(node.layer, ReLU) and (np.abs(x[x != 0]) < 2 * margin * rms(x)).any():
            return False
        if isinstance(node.layer, MaxPool2d):
            one = np.ones(run.outputs[node.index].shape)
            limit[x == 0] = 0  # what a ReLU or a Dropout stopped ties often, and passes no gradient on
            contested = _winner_error(node.layer, x, limit, run.choices[node.index], 0 * one, one)
            if (contested > 0.5).any():
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


def forward_error(node: Node, parameters: dict[str, np.ndarray], run: network.Run, e: np.ndarray) -> np.ndarray:
    """Bound the error of what a layer gives, where its input strays by at most e."""
    x = run.input(node.index)
    size = np.abs(x) + e
    match node.layer:
        case Conv2d() | Linear():
            sizes = {name: np.abs(value) for name, value in parameters.items()}
            bias = {f"{node.name}.bias": np.zeros(node.weight_shape[-1])}
            terms = sizes[f"{node.name}.weight"][..., 0].size + 1
            carried = network.forward_node(node, sizes | bias, (e,), None).output
            total = network.forward_node(node, sizes, (size,), None).output
            return carried + gamma(terms) * total
        case ReLU():
            return np.where(x + e <= 0, 0, e)
        case MaxPool2d() as layer:
            return pool.max_forward(e, layer)[0]
        case AvgPool2d() as layer:
            return pool.avg_forward(e, layer) + gamma(layer.window_over(node.input).cells + 2) * pool.avg_forward(
                size, layer
            )
        case Flatten():
            return e.reshape(len(e), -1)
        case Dropout() as layer:
            mask = run.choices[node.index]
            if mask is None:
                return e
            scaled = dropout.forward(e, mask, layer)
            return scaled + gamma(2) * dropout.forward(size, mask, layer)
    raise AssertionError(f"no bound for {node.title}")


def backward_error(
    node: Node, parameters: dict[str, np.ndarray], run: network.Run, e: np.ndarray, dy: np.ndarray, e_dy: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Bound the errors of a layer's gradients: that of its input, and those of its parameters.

    Arguments:
        e: bound of the layer's input.
        dy, e_dy: gradient of the layer's output, and its bound.
    """
    x, choice = run.input(node.index), run.choices[node.index]
    size = np.abs(dy) + e_dy
    match node.layer:
        case Conv2d() | Linear():
            return _weighted_error(node, np.abs(parameters[f"{node.name}.weight"]), x, e, e_dy, size)
        case ReLU():
            certain = (x - e > 0) | (x + e <= 0)
            return np.where(certain, np.where(x > 0, e_dy, 0), size), {}
        case MaxPool2d() as layer:
            return _winner_error(layer, x, e, choice, e_dy, size), {}
        case AvgPool2d() as layer:
            roundings = gamma(layer.window_over(node.input).cells + 2)
            return pool.avg_backward(x, e_dy, layer) + roundings * pool.avg_backward(x, size, layer), {}
        case Flatten():
            return e_dy.reshape(x.shape), {}
        case Dropout() as layer:
            if choice is None:
                return e_dy, {}
            scaled = dropout.backward(choice, e_dy, layer)
            return scaled + gamma(2) * dropout.backward(choice, size, layer), {}
    raise AssertionError(f"no bound for {node.title}")


def _weighted_error(
    node: Node, weight: np.ndarray, x: np.ndarray, e: np.ndarray, e_dy: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Follow dx = sum w·dy, dw = sum x·dy and db = sum dy, whose factors x and dy both stray."""

    def pull(values: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if isinstance(node.layer, Conv2d):
            return conv.backward(values, weight, gradient, node.layer)
        return linear.backward(values, weight, gradient)

    of_x, of_w, of_b = pull(np.abs(x), e_dy)
    _, of_w_by_x, _ = pull(e, size)
    total_x, total_w, total_b = pull(np.abs(x) + e, size)
    for_x = gamma(weight[..., 0, :].size + 1)
    for_w = gamma(size[..., 0].size + 1)
    found = {f"{node.name}.weight": of_w + of_w_by_x + for_w * total_w}
    if node.layer.bias:
        found[f"{node.name}.bias"] = of_b + for_w * total_b
    return of_x + for_x * total_x, found


def _winner_error(
    layer: MaxPool2d, x: np.ndarray, e: np.ndarray, winner: np.ndarray, e_dy: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Return every tap that may win by the computed values the whole gradient as its error."""
    window = layer.window_over(image_shape(x))
    values, errors = pad(x, window), pad(e, window)
    inside = pad(np.ones_like(x, bool), window)
    lead, slack = np.zeros(winner.shape), np.zeros(winner.shape)
    for place, (_, _, where) in enumerate(taps(window)):
        lead = np.where(winner == place, values[where] - errors[where], lead)
        slack = np.where(winner == place, errors[where], slack)
    rivals = []
    for place, (_, _, where) in enumerate(taps(window)):
        exact = (errors[where] == 0) & (slack == 0)  # then even a tie is decided, by the order
        rivals.append(inside[where] & (winner != place) & ~exact & (values[where] + errors[where] >= lead))
    contested = np.any(rivals, axis=0)
    error, total = np.zeros(values.shape), np.zeros(values.shape)
    for place, (_, _, where) in enumerate(taps(window)):
        error[where] += np.where(winner == place, np.where(contested, size, e_dy), np.where(rivals[place], size, 0))
        total[where] += np.where((winner == place) | rivals[place], size, 0)
    rows, columns = window.vertical, window.horizontal
    inner = np.s_[:, rows.before : rows.before + rows.input, columns.before : columns.before + columns.input]
    return error[inner] + gamma(window.cells) * total[inner]  # overlapping windows are summed


def loss_error(case: Case, logits: np.ndarray, e: np.ndarray) -> tuple[float, np.ndarray]:
    """Bound the errors of the loss and of its gradient in the logits.

    Softmax: logits that all stray by at most E change each probability by a factor within exp(±2E). On top come, in
    relative terms, the rounding of z - max (|z - max|·u in the exponent, twice: for the class and for the sum), the
    exponential, the sum, and the division.
    """
    count, outputs = logits.shape
    if isinstance(case.loss, CrossEntropy):
        labels = loss.smoothed(case.targets, outputs, case.loss.label_smoothing)
        p = loss.softmax(logits)
        shifted = logits.max(axis=1, keepdims=True) - logits + 2 * e.max(axis=1, keepdims=True)
        stray = 2 * e.max(axis=1, keepdims=True) + 2 * U * shifted.max(axis=1, keepdims=True)
        relative = np.expm1(stray) + gamma(outputs + 2 * EXP * 2 + 3) * np.exp(stray)
        gradient = (p * relative + gamma(4) * (p * (1 + relative) + labels)) / count
        logs = np.abs(loss.log_softmax(logits)) + stray
        each = (labels * (stray + gamma(outputs + 2 * EXP * 2 + 3) * (1 + logs + shifted))).sum(axis=1)
        each += gamma(outputs + count + 3) * (labels * logs).sum(axis=1)
        return float(each.mean()), gradient
    difference = np.abs(logits - case.targets)
    far = difference + e
    rounding = gamma(1) * (np.abs(logits) + e + np.abs(case.targets))
    off = e + np.minimum(rounding, gamma(1) * far)
    gradient = 2 / logits.size * (off + gamma(4) * (difference + off))
    value = (2 * difference * off + off**2).mean() + gamma(logits.size + 4) * ((difference + off) ** 2).mean()
    return float(value), gradient
