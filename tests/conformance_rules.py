"""How far float32 may stray in one layer, forward and backward: a rule for each kind. conformance_bounds.py uses them.

Everywhere x is the exact input and e its bound, so that |x| + e bounds what an engine computes with.

An engine may sum in any order, and may start a sum from what is added to it later: the shortcut of a residual block,
or the gradient that another consumer sent. So beside each value runs the `Mass` of the sum that it came from.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from neocog.nn.graph import Node
from neocog.nn.layers import (
    ELU,
    GELU,
    LAYERS,
    Activation,
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    BatchNorm2d,
    ChannelShuffle,
    Concatenate,
    Conv2d,
    ConvTranspose2d,
    Dropout,
    Dropout2d,
    DropPath,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    Hardsigmoid,
    Hardswish,
    Layer,
    LayerNorm2d,
    LayerScale,
    LeakyReLU,
    Linear,
    LocalResponseNorm,
    Maxout,
    MaxPool2d,
    Multiply,
    PixelShuffle,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Slice,
    Softmax,
    Tanh,
    Upsample,
)
from neocog.nn.window import counts, pair
from neocog.reference import (
    activation,
    conv,
    dropout,
    join,
    linear,
    local_response,
    normalization,
    pool,
    resizing,
    transposed,
)
from neocog.reference.network import backward_node, forward_node
from neocog.reference.taps import image_shape, pad, taps

U = 2.0**-24  # half the distance from 1 to the next float32
EXP = 4  # roundings granted to an exponential or a logarithm: 4 units in the last place are 8 of u


def gamma(n: int) -> float:
    """Bound the relative error that n roundings leave."""
    return n * U / (1 - n * U)


SMOOTH = gamma(2 * EXP + 4)  # what a function of one value may round: an exponential, and some operations around it


@dataclass(frozen=True)
class Mass:
    """The sum that a value came from: the sum of its terms' sizes, and how many roundings it took."""

    size: np.ndarray
    roundings: int = 0


@dataclass(frozen=True)
class Use:
    """One layer in a run of the reference.

    parameters: what it stores, by its own names.
    inputs, errors, masses: what it takes, bounds of them, and where they came from.
    output, error: what it gives, and its bound, for backward rules.
    """

    node: Node
    parameters: Mapping[str, np.ndarray]
    inputs: tuple[np.ndarray, ...]
    errors: tuple[np.ndarray, ...]
    masses: tuple[Mass, ...]
    choice: np.ndarray | None
    training: bool
    output: np.ndarray
    error: np.ndarray | None = None

    @property
    def layer(self) -> Layer:
        """The layer itself."""
        return self.node.layer

    @property
    def x(self) -> np.ndarray:
        """The first input."""
        return self.inputs[0]

    @property
    def e(self) -> np.ndarray:
        """Its bound."""
        return self.errors[0]

    @property
    def sizes(self) -> tuple[np.ndarray, ...]:
        """The most that each input may be, in magnitude, as an engine has it."""
        return tuple(np.abs(x) + e for x, e in zip(self.inputs, self.errors, strict=True))


@dataclass(frozen=True)
class Stray:
    """How far what a layer gives may stray, the sum that it is, and how far new buffers may stray."""

    error: np.ndarray
    mass: Mass | None = None
    buffers: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Back:
    """How far gradients may stray: of each input, and of each parameter by the layer's own names."""

    inputs: tuple[np.ndarray, ...]
    parameters: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Rule:
    """The rules of one kind of layer. `backward` takes the gradient of the output and its bound."""

    forward: Callable[[Use], Stray]
    backward: Callable[[Use, np.ndarray, np.ndarray], Back]


# Sums of products -----------------------------------------------------------------------------------------------------


def _weighted(layer: Layer, x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    if isinstance(layer, Conv2d):
        return conv.forward(x, weight, layer, bias)
    if isinstance(layer, ConvTranspose2d):
        return transposed.forward(x, weight, layer, bias)
    return linear.forward(x, weight, bias)


def _weighted_forward(use: Use) -> Stray:
    weight, bias = np.abs(use.parameters["weight"]), use.parameters.get("bias")
    # A transposed convolution has its outputs in the last axis but one.
    terms = weight.size // weight.shape[-2 if isinstance(use.layer, ConvTranspose2d) else -1] + 1
    total = _weighted(use.layer, use.sizes[0], weight, None if bias is None else np.abs(bias))
    return Stray(_weighted(use.layer, use.e, weight) + gamma(terms) * total, Mass(total, terms))


def _weighted_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow dx = sum w·dy, dw = sum x·dy and db = sum dy, whose factors x and dy both stray."""
    weight = np.abs(use.parameters["weight"])
    size = np.abs(dy) + e_dy

    def pull(values: np.ndarray, gradient: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if isinstance(use.layer, Conv2d):
            return conv.backward(values, weight, gradient, use.layer)
        if isinstance(use.layer, ConvTranspose2d):
            return transposed.backward(values, weight, gradient, use.layer)
        return linear.backward(values, weight, gradient)

    of_x, of_w, of_b = pull(np.abs(use.x), e_dy)
    _, of_w_by_x, _ = pull(use.e, size)
    total_x, total_w, total_b = pull(use.sizes[0], size)
    for_w = gamma(size[..., 0].size + 1)
    found = {"weight": of_w + of_w_by_x + for_w * total_w}
    if use.layer.bias:
        found["bias"] = of_b + for_w * total_b
    return Back((of_x + gamma(roundings_back(use.node)) * total_x,), found)


def roundings_back(node: Node) -> int:
    """Count the roundings of the sum that a layer sends back: to each input come all taps of its group's filters."""
    if any(node.is_pixel(place) for place in range(len(node.inputs))):
        return node.output.height * node.output.width + 1
    shape, inputs = node.weight_shape, -1 if isinstance(node.layer, ConvTranspose2d) else -2
    groups = node.layer.groups if isinstance(node.layer, Conv2d) else 1
    return int(np.prod(shape)) // (shape[inputs] * groups) + 2 if shape is not None else 1


# Pooling --------------------------------------------------------------------------------------------------------------


def _average_forward(use: Use) -> Stray:
    """A mean of n values takes n - 1 roundings, one for 1 / n, and one for the product."""
    layer, means = use.layer, AVERAGES[type(use.layer)][0]
    return Stray(means(use.e, layer) + gamma(_most_cells(use) + 2) * means(use.sizes[0], layer))


def _average_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Each share takes two roundings, and so many shares meet in a pixel as windows do: no more than one has cells."""
    layer, shares = use.layer, AVERAGES[type(use.layer)][1]
    rounding = gamma(3 if isinstance(layer, GlobalAvgPool2d) else max(_most_cells(use), _most_windows(use)) + 2)
    return Back((shares(use.x, e_dy, layer) + rounding * shares(use.x, np.abs(dy) + e_dy, layer),))


AVERAGES: dict[type[Layer], tuple[Callable[..., np.ndarray], Callable[..., np.ndarray]]] = {
    AvgPool2d: (pool.avg_forward, pool.avg_backward),
    AdaptiveAvgPool2d: (pool.adaptive_avg_forward, pool.adaptive_avg_backward),
    GlobalAvgPool2d: (lambda x, layer: x.mean(axis=(1, 2)), lambda x, dy, layer: pool.global_avg_backward(x, dy)),
}
"""Means, and how a gradient is shared out."""


def _most_cells(use: Use) -> int:
    rows, columns = counts(use.layer.counted_over(use.node.input))
    return max(rows) * max(columns)


def _most_windows(use: Use) -> int:
    """Return in how many windows of an adaptive average a pixel may lie: outputs may be many for few pixels."""
    if not isinstance(use.layer, AdaptiveAvgPool2d):
        return 0
    image, out = use.node.input, use.node.output
    return (-(-out.height // image.height) + 1) * (-(-out.width // image.width) + 1)


def argmax_error(
    layer: MaxPool2d, x: np.ndarray, e: np.ndarray, argmax: np.ndarray, e_dy: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Return every tap that may win by the computed values the whole gradient as its error."""
    window = layer.window_over(image_shape(x))
    values, errors = pad(x, window), pad(e, window)
    inside = pad(np.ones_like(x, bool), window)
    lead, slack = np.zeros(argmax.shape), np.zeros(argmax.shape)
    for place, (_, _, where) in enumerate(taps(window)):
        lead = np.where(argmax == place, values[where] - errors[where], lead)
        slack = np.where(argmax == place, errors[where], slack)
    rivals = []
    for place, (_, _, where) in enumerate(taps(window)):
        exact = (errors[where] == 0) & (slack == 0)  # then even a tie is decided, by the order
        rivals.append(inside[where] & (argmax != place) & ~exact & (values[where] + errors[where] >= lead))
    contested = np.any(rivals, axis=0)
    error, total = np.zeros(values.shape), np.zeros(values.shape)
    for place, (_, _, where) in enumerate(taps(window)):
        error[where] += np.where(argmax == place, np.where(contested, size, e_dy), np.where(rivals[place], size, 0))
        total[where] += np.where((argmax == place) | rivals[place], size, 0)
    rows, columns = window.vertical, window.horizontal
    inner = np.s_[:, rows.before : rows.before + rows.input, columns.before : columns.before + columns.input]
    return error[inner] + gamma(window.cells) * total[inner]  # overlapping windows are summed


# Functions of one value -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shape:
    """What bounds a function f of one value, and its computation.

    steepest: the largest |f'|.
    bend: the largest |f''| between kinks.
    kinks: where f' jumps → by how much.
    value, slope: sizes of what is rounded on the way to f and f', for |x|; 0 where nothing is.
    """

    steepest: float
    bend: float = 0.0
    kinks: Mapping[float, float] = field(default_factory=dict)
    value: Callable[[np.ndarray], np.ndarray | float] = lambda size: 0.0
    slope: Callable[[np.ndarray], np.ndarray | float] = lambda size: 0.0

    def turn(self, x: np.ndarray, e: np.ndarray) -> np.ndarray:
        """Bound how far f' may be from f'(x) where the argument strays from x by at most e."""
        bent = self.bend * e
        for kink, jump in self.kinks.items():
            bent = bent + np.where((np.abs(x - kink) <= e) & (e > 0), jump, 0.0)
        return np.minimum(bent, 2 * self.steepest)


SHAPES: dict[type[Layer], Callable[[Layer], Shape]] = {
    ReLU: lambda layer: Shape(1, kinks={0: 1}),
    ReLU6: lambda layer: Shape(1, kinks={0: 1, 6: 1}),
    LeakyReLU: lambda layer: Shape(1, 0, {0: 1 - layer.slope}, lambda size: size, lambda size: 1.0),
    ELU: lambda layer: Shape(
        max(1, layer.alpha), layer.alpha, {0: abs(1 - layer.alpha)}, lambda size: layer.alpha, lambda size: layer.alpha
    ),
    SiLU: lambda layer: Shape(1.1, 0.5, {}, lambda size: size, lambda size: 1 + size),
    # The second derivative is largest at 0: 2 φ(0) = 0.798; that of the tanh form hardly differs.
    GELU: lambda layer: Shape(1.13, 0.85, {}, lambda size: 1 + size, lambda size: 1 + size),
    Hardsigmoid: lambda layer: Shape(1 / 6, 0, {-3: 1 / 6, 3: 1 / 6}, lambda size: (size + 3) / 6, lambda size: 1 / 6),
    Hardswish: lambda layer: Shape(
        1.5, 1 / 3, {-3: 0.5, 3: 0.5}, lambda size: size * np.minimum(size + 3, 6) / 6, lambda size: size / 3 + 0.5
    ),
    Sigmoid: lambda layer: Shape(0.25, 0.0963, {}, lambda size: 1.0, lambda size: 1.0),
    Tanh: lambda layer: Shape(1, 0.77, {}, lambda size: 1.0, lambda size: 1.0),
}


def _function_forward(use: Use) -> Stray:
    shape = SHAPES[type(use.layer)](use.layer)
    slope = np.abs(activation.FUNCTIONS[type(use.layer)].slope(use.layer, use.x))
    steepest = np.minimum(slope + shape.turn(use.x, use.e), shape.steepest)
    return Stray(use.e * steepest + SMOOTH * shape.value(use.sizes[0]))


def _function_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    shape = SHAPES[type(use.layer)](use.layer)
    slope = np.abs(activation.FUNCTIONS[type(use.layer)].slope(use.layer, use.x))
    size = np.abs(dy) + e_dy
    return Back((e_dy * slope + size * (shape.turn(use.x, use.e) + SMOOTH * shape.slope(use.sizes[0])),))


# Channels of a pixel --------------------------------------------------------------------------------------------------


def _prelu_forward(use: Use) -> Stray:
    weight = np.abs(use.parameters["weight"])
    below, above = use.x + use.e <= 0, use.x - use.e > 0
    steepest = np.where(above, 1, np.where(below, weight, np.maximum(weight, 1)))
    return Stray(use.e * steepest + U * np.where(above, 0, weight * use.sizes[0]))


def _prelu_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow dw = sum min(x, 0)·dy, whose terms change by no more than x and dy do."""
    weight = use.parameters["weight"]
    size = np.abs(dy) + e_dy
    slope = np.where(use.x > 0, 1, np.abs(weight))
    contested = (np.abs(use.x) <= use.e) & (use.e > 0)
    of_x = e_dy * slope + size * (np.where(contested, np.abs(1 - weight), 0) + U * np.abs(weight))
    below, axes = np.abs(np.minimum(use.x, 0)), tuple(range(use.x.ndim - 1))
    terms = use.x.size // use.x.shape[-1]
    of_w = (use.e * size + below * e_dy).sum(axis=axes) + gamma(terms + 1) * ((below + use.e) * size).sum(axis=axes)
    return Back((of_x,), {"weight": of_w})


def share_error(z: np.ndarray, e: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bound the relative error of a softmax of z.

    Values that all stray by at most E change each share by a factor within exp(±2E). On top come, in relative terms,
    the rounding of z - max (|z - max|·u in the exponent, twice: for the class and for the sum), the exponential, the
    sum, and the division.

    Returns:
        the relative error; how far the exponents stray; the most that they may be below 0.
    """
    most = 2 * e.max(axis=-1, keepdims=True)
    shifted = z.max(axis=-1, keepdims=True) - z + most
    stray = np.minimum(most + 2 * U * shifted.max(axis=-1, keepdims=True), 300)
    return np.expm1(stray) + gamma(z.shape[-1] + 2 * EXP * 2 + 3) * np.exp(stray), stray, shifted


def _softmax_forward(use: Use) -> Stray:
    return Stray(np.minimum(use.output * share_error(use.x, use.e)[0], 1))


def _softmax_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow dx = y · (dy - s) with s = sum y · dy."""
    y, e_y, size = use.output, use.error, np.abs(dy) + e_dy
    s = (y * dy).sum(axis=-1, keepdims=True)
    e_s = (y * e_dy + e_y * size).sum(axis=-1, keepdims=True)
    e_s = e_s + gamma(y.shape[-1] + 1) * ((y + e_y) * size).sum(axis=-1, keepdims=True)
    difference = np.abs(dy - s)
    off = e_dy + e_s + gamma(1) * (size + np.abs(s) + e_s)
    return Back((y * off + e_y * (difference + off) + gamma(1) * (y + e_y) * (difference + off),))


def _pieces(values: np.ndarray, layer: Maxout) -> np.ndarray:
    return values.reshape(*values.shape[:-1], layer.pieces, -1)


def _maxout_forward(use: Use) -> Stray:
    return Stray(_pieces(use.e, use.layer).max(axis=-2))


def _maxout_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    return Back((maxout_error(use.layer, use.x, use.e, use.choice, e_dy, np.abs(dy) + e_dy),))


def maxout_error(
    layer: Maxout, x: np.ndarray, e: np.ndarray, argmax: np.ndarray, e_dy: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Return every piece that may win by the computed values the whole gradient as its error."""
    values, errors = _pieces(x, layer), _pieces(e, layer)
    won = np.arange(layer.pieces)[:, None] == argmax[..., None, :]
    lead = np.where(won, values - errors, -np.inf).max(axis=-2, keepdims=True)
    slack = np.where(won, errors, 0).max(axis=-2, keepdims=True)
    rival = ~won & ~((errors == 0) & (slack == 0)) & (values + errors >= lead)
    contested = rival.any(axis=-2, keepdims=True)
    size, e_dy = size[..., None, :], e_dy[..., None, :]
    return np.where(won, np.where(contested, size, e_dy), np.where(rival, size, 0)).reshape(x.shape)


# Batch normalization --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Normalised:
    """What batch statistics are, exactly and at worst.

    With n values a channel, the mean strays by the mean of what its terms do, and by n + 1 roundings. The variance is a
    mean of d² with d = x - mean, so it strays by the mean of 2|d|·e(d) + e(d)², and by n + 2 roundings, of d² in two
    passes; algorithms that need one (Welford's, and Chan's, which merges parts) round √(variance · mean of x²) instead
    (Chan, Golub and LeVeque 1983). The mean of squares minus the squared mean would round the mean of x², which the
    bound does not allow.

    s = 1 / √(variance + ε) changes by the factor 1 / √(1 - e / (variance + ε)) at most, where that is defined; else it
    may be anything up to 1 / √ε. z = d · s strays with both factors.
    """

    mean: np.ndarray
    of_mean: np.ndarray
    of_variance: np.ndarray
    s: np.ndarray
    of_s: np.ndarray
    z: np.ndarray
    of_z: np.ndarray


def batch_error(x: np.ndarray, e: np.ndarray, epsilon: float) -> Normalised:
    """Bound the batch statistics of x, and the normalised values."""
    axes, n = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    size = np.abs(x) + e
    batch = normalization.batch_statistics(x)
    of_mean = e.mean(axis=axes) + gamma(n + 1) * size.mean(axis=axes)
    d = np.abs(x - batch.mean)
    of_d = e + of_mean + gamma(1) * (d + e + of_mean)
    square = np.square(d + of_d).mean(axis=axes)
    of_variance = (2 * d * of_d + of_d**2).mean(axis=axes)
    of_variance = of_variance + gamma(n + 2) * (square + np.sqrt(square * np.square(size).mean(axis=axes)))
    under = batch.variance + epsilon
    s = 1 / np.sqrt(under)
    share = of_variance / under
    of_s = np.where(share < 1, s * (1 / np.sqrt(np.maximum(1 - share, 1e-300)) - 1), np.inf)
    least = epsilon + np.maximum(batch.variance - of_variance, 0)
    of_s = np.minimum(of_s, 1 / np.sqrt(epsilon)) + gamma(4) / np.sqrt(least)
    of_z = of_d * (s + of_s) + d * of_s + gamma(2) * (d + of_d) * (s + of_s)
    return Normalised(batch.mean, of_mean, of_variance, s, of_s, d * s, of_z)


def _norm_forward(use: Use) -> Stray:
    layer, stored = use.layer, use.parameters
    weight = np.abs(stored.get("weight", np.ones(use.x.shape[-1])))
    bias = np.abs(stored.get("bias", np.zeros(use.x.shape[-1])))
    if not use.training:
        # x · a + b with a = γ / √(running_var + ε): or with a multiplied into the filters of a convolution before it,
        # so that each of its terms is rounded once more.
        a = weight / np.sqrt(stored["running_var"] + layer.epsilon)
        total = a * (use.masses[0].size + np.abs(stored["running_mean"])) + bias
        return Stray(a * use.e + gamma(8) * total, Mass(total, use.masses[0].roundings + 8))
    found = batch_error(use.x, use.e, layer.epsilon)
    # It may be computed as x · a + b, too, whose terms are larger than their sum.
    terms = weight * (found.s + found.of_s) * (use.sizes[0] + np.abs(found.mean) + found.of_mean) + bias
    error = found.of_z * weight + gamma(4) * (terms + (found.z + found.of_z) * weight)
    n, share = use.x.size // use.x.shape[-1], layer.momentum
    unbiased, batch = n / max(n - 1, 1), normalization.batch_statistics(use.x)
    sizes = {
        "running_mean": np.abs(stored["running_mean"]) + np.abs(batch.mean) + found.of_mean,
        "running_var": stored["running_var"] + unbiased * (batch.variance + found.of_variance),
    }
    moved = {"running_mean": share * found.of_mean, "running_var": share * unbiased * found.of_variance}
    return Stray(error, buffers={name: moved[name] + gamma(5) * size for name, size in sizes.items()})


def _norm_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    layer, axes, n = use.layer, tuple(range(dy.ndim - 1)), dy.size // dy.shape[-1]
    weight = np.abs(use.parameters.get("weight", np.ones(dy.shape[-1])))
    size = np.abs(dy) + e_dy
    if use.training:
        found = batch_error(use.x, use.e, layer.epsilon)
        mean, s, of_s, z, of_z = found.mean, found.s, found.of_s, found.z, found.of_z
    else:
        mean, variance = use.parameters["running_mean"], use.parameters["running_var"]
        s = 1 / np.sqrt(variance + layer.epsilon)
        of_s = gamma(4) * s
        z = np.abs(use.x - mean) * s
        of_z = use.e * (s + of_s) + gamma(6) * (use.sizes[0] + np.abs(mean)) * s
    of_products = e_dy * z + size * of_z  # of dy · z
    of_weight = of_products.sum(axis=axes) + gamma(n + 3) * (size * (z + of_z)).sum(axis=axes)
    of_bias = e_dy.sum(axis=axes) + gamma(n + 1) * size.sum(axis=axes)
    learnt = {"weight": of_weight, "bias": of_bias} if layer.affine else {}
    if not use.training:
        return Back((weight * (e_dy * (s + of_s) + np.abs(dy) * of_s + gamma(2) * size * (s + of_s)),), learnt)
    inner, off = through_statistics(found, use.x, use.e, dy, e_dy, of_bias, of_weight)
    scale = weight * (s + of_s)
    return Back((scale * off + weight * of_s * inner + gamma(3) * scale * (inner + off),), learnt)


def through_statistics(
    found: Normalised,
    x: np.ndarray,
    e: np.ndarray,
    dy: np.ndarray,
    e_dy: np.ndarray,
    of_sum: np.ndarray,
    of_moved: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the size of dy - A - z · B, with A and B the means of dy and of dy · z, and its bound.

    Arguments:
        found: the statistics.
        x, e: the input, and its bound.
        dy, e_dy: the gradient of the normalised values, and its bound.
        of_sum, of_moved: bounds of the sums of dy, and of dy · z.
    """
    axes, n, size = tuple(range(dy.ndim - 1)), dy.size // dy.shape[-1], np.abs(dy) + e_dy
    s, of_s, z, of_z = found.s, found.of_s, found.z, found.of_z
    signed = z * np.sign(x - found.mean)
    a, b = np.abs(dy.mean(axis=axes)), np.abs((dy * signed).mean(axis=axes))
    of_a, of_b = (of_sum + gamma(1) * np.abs(dy).sum(axis=axes)) / n, of_moved / n + gamma(1) * b
    inner = np.abs(dy - dy.mean(axis=axes) - signed * (dy * signed).mean(axis=axes))
    off = e_dy + of_a + of_z * (b + of_b) + z * of_b
    # It may be computed from x itself: dy - A - (x - mean) · s · B, with the mean's part apart from that of x.
    apart = (np.abs(x) + e + np.abs(found.mean)) * (s + of_s) * (b + of_b)
    return inner, off + gamma(5) * (size + a + of_a + (z + of_z) * (b + of_b) + apart)


# Normalization of groups, and of pixels -------------------------------------------------------------------------------


def _as_batch(values: np.ndarray, layer: GroupNorm | LayerNorm2d) -> np.ndarray:
    """Lay (N, H, W, C) out as a batch of values, each group of each image, or each pixel, being its own channel."""
    if isinstance(layer, LayerNorm2d):
        return values.reshape(-1, values.shape[-1]).T
    count, height, width, _ = values.shape
    parts = values.reshape(count, height, width, layer.groups, -1).transpose(1, 2, 4, 0, 3)
    return parts.reshape(-1, count * layer.groups)


def _as_images(values: np.ndarray, x: np.ndarray, layer: GroupNorm | LayerNorm2d) -> np.ndarray:
    """Undo that; one row stands for all."""
    if isinstance(layer, LayerNorm2d):
        return np.broadcast_to(values, (x.shape[-1], x.size // x.shape[-1])).T.reshape(x.shape)
    count, height, width, channels = x.shape
    size = channels // layer.groups
    parts = np.broadcast_to(values, (height * width * size, count * layer.groups))
    return parts.reshape(height, width, size, count, layer.groups).transpose(3, 0, 1, 4, 2).reshape(x.shape)


def _learned(use: Use) -> tuple[np.ndarray, np.ndarray]:
    stored, channels = use.parameters, use.x.shape[-1]
    return np.abs(stored.get("weight", np.ones(channels))), np.abs(stored.get("bias", np.zeros(channels)))


def _group_forward(use: Use) -> Stray:
    layer, (weight, bias) = use.layer, _learned(use)
    found = batch_error(_as_batch(use.x, layer), _as_batch(use.e, layer), layer.epsilon)
    s, mean, z, of_z = (
        _as_images(values, use.x, layer)
        for values in (found.s + found.of_s, np.abs(found.mean) + found.of_mean, found.z, found.of_z)
    )
    terms = weight * s * (use.sizes[0] + mean) + bias
    return Stray(of_z * weight + gamma(4) * (terms + (z + of_z) * weight))


def _group_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow dγ = sum dy · z and dβ = sum dy over all images, and dx through the statistics of each group."""
    layer, weight = use.layer, _learned(use)[0]
    x, e = _as_batch(use.x, layer), _as_batch(use.e, layer)
    found = batch_error(x, e, layer.epsilon)
    size, terms, axes = np.abs(dy) + e_dy, dy.size // dy.shape[-1], tuple(range(dy.ndim - 1))
    z, of_z = _as_images(found.z, use.x, layer), _as_images(found.of_z, use.x, layer)
    of_weight = (e_dy * z + size * of_z).sum(axis=axes) + gamma(terms + 3) * (size * (z + of_z)).sum(axis=axes)
    of_bias = e_dy.sum(axis=axes) + gamma(terms + 1) * size.sum(axis=axes)
    # The gradient of z is dy · γ.
    signed = use.parameters.get("weight", np.ones(dy.shape[-1]))
    dz, e_dz = _as_batch(dy * signed, layer), _as_batch(weight * (e_dy + gamma(1) * size), layer)
    most, n = np.abs(dz) + e_dz, len(dz)
    of_sum = e_dz.sum(axis=0) + gamma(n + 1) * most.sum(axis=0)
    of_moved = (e_dz * found.z + most * found.of_z).sum(axis=0)
    of_moved = of_moved + gamma(n + 3) * (most * (found.z + found.of_z)).sum(axis=0)
    inner, off = through_statistics(found, x, e, dz, e_dz, of_sum, of_moved)
    scale = found.s + found.of_s
    of_x = scale * off + found.of_s * inner + gamma(3) * scale * (inner + off)
    learnt = {"weight": of_weight, "bias": of_bias} if layer.affine else {}
    return Back((_as_images(of_x, use.x, layer),), learnt)


# Local response normalization -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Base:
    """The base s of a local response normalization, exactly and at worst.

    exact, least: s, and the least that it may be. Powers of s with a negative exponent are convex, so that they stray
    most where s is least.
    logarithm: the largest that |log s| may be.
    """

    exact: np.ndarray
    least: np.ndarray
    logarithm: np.ndarray

    def power(self, exponent: float) -> np.ndarray:
        """Return what s^-exponent is at most, without rounding."""
        return self.least**-exponent

    def rounding(self, exponents: float, powers: int) -> np.ndarray:
        """Bound the relative error of a product of powers of s, with exponents of so much in all.

        Each is exp(exponent · log s): the logarithm, and the product with it, are rounded, and then the exponential.
        """
        return np.expm1(exponents * self.logarithm * gamma(2 * EXP + 2)) * (1 + gamma(2 * EXP * powers)) + gamma(
            2 * EXP * powers
        )


def _base(use: Use) -> Base:
    """Follow s = k + α / size · sum x²: each square takes a rounding, the factor three, the sum and k one each."""
    layer, size = use.layer, use.sizes[0]
    beside, factor = layer.beside(use.x.shape[-1]), layer.alpha / layer.size
    most, exact = layer.k + factor * local_response.around(size**2, *beside), local_response.base(use.x, layer)
    off = most - exact + gamma(layer.size + 6) * most
    least = np.maximum(exact - off, layer.k * (1 - gamma(2)))
    return Base(exact, least, np.maximum(np.abs(np.log(least)), np.abs(np.log(exact + off))))


def _local_response_forward(use: Use) -> Stray:
    base, beta = _base(use), use.layer.beta
    most = use.sizes[0] * base.power(beta)
    return Stray(most - np.abs(use.output) + (base.rounding(beta, 1) + gamma(2)) * most)


def _local_response_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow dx = dy / s^β - c · x · w, with c = 2αβ / size and w = sum over the mirrored window of dy · x / s^(β + 1).

    Engines may form s^-(β + 1) of 1 / s^2β and s^(β - 1), and may not multiply by c before the sum is there.
    """
    base, layer, size = _base(use), use.layer, np.abs(dy) + e_dy
    beta, x = layer.beta, use.sizes[0]
    before, behind = layer.beside(use.x.shape[-1])
    own = size * base.power(beta)
    of_own = own - np.abs(dy) * base.exact**-beta + (base.rounding(beta, 1) + gamma(2)) * own
    exact = np.abs(dy * use.x) * base.exact ** -(beta + 1)
    terms = size * x * base.power(beta + 1)
    rounding = base.rounding(2 * beta + abs(beta - 1) + 1, 3) + gamma(layer.size + 10)
    of_sum = local_response.around(terms - exact + rounding * terms, behind, before)
    total = np.abs(local_response.around(dy * use.x * base.exact ** -(beta + 1), behind, before))
    factor = 2 * layer.alpha * beta / layer.size
    through = factor * x * (total + of_sum)
    of_through = through - factor * np.abs(use.x) * total + gamma(6) * through
    return Back((of_own + of_through + gamma(4) * (own + of_own + through),))


# What drops, moves and joins ------------------------------------------------------------------------------------------


def _dropping_forward(use: Use) -> Stray:
    if use.choice is None:
        return Stray(use.e, use.masses[0])
    scaled = dropout.forward(use.e, use.choice, use.layer)
    return Stray(scaled + gamma(2) * dropout.forward(use.sizes[0], use.choice, use.layer))


def _dropping_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    if use.choice is None:
        return Back((e_dy,))
    scaled = dropout.backward(use.choice, e_dy, use.layer)
    return Back((scaled + gamma(2) * dropout.backward(use.choice, np.abs(dy) + e_dy, use.layer),))


def _flatten_forward(use: Use) -> Stray:
    mass = use.masses[0]
    return Stray(use.e.reshape(len(use.e), -1), Mass(mass.size.reshape(len(use.e), -1), mass.roundings))


def _add_forward(use: Use) -> Stray:
    """Allow a sum that starts from one of the inputs and adds the terms of the others to it."""
    total = sum(mass.size for mass in use.masses)
    roundings = max(mass.roundings for mass in use.masses) + len(use.inputs)
    whole = sum(use.sizes)
    error = sum(use.errors) + gamma(roundings) * whole + gamma(len(use.inputs)) * total
    return Stray(error, Mass(total, roundings))


def _multiply_forward(use: Use) -> Stray:
    total = join.product(use.sizes)
    return Stray(total - join.product([np.abs(x) for x in use.inputs]) + gamma(len(use.inputs)) * total)


def _multiply_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    totals = join.multiply_backward(use.sizes, np.abs(dy) + e_dy)
    exact = join.multiply_backward([np.abs(x) for x in use.inputs], np.abs(dy))
    rounding = gamma(len(use.inputs) + roundings_back(use.node))
    return Back(tuple(total - plain + rounding * total for total, plain in zip(totals, exact, strict=True)))


def _add_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow the sums over the pixels that an image of one pixel stands for; else nothing is computed."""
    rounding = gamma(roundings_back(use.node))
    sent = []
    for place, x in enumerate(use.inputs):
        total = join.summed(np.abs(dy) + e_dy, x) if use.node.is_pixel(place) else 0
        sent.append(join.summed(e_dy, x) + rounding * total)
    return Back(tuple(sent))


def _concatenate_forward(use: Use) -> Stray:
    mass = Mass(np.concatenate([m.size for m in use.masses], -1), max(m.roundings for m in use.masses))
    return Stray(np.concatenate(use.errors, axis=-1), mass)


def _moved(use: Use, values: np.ndarray) -> np.ndarray:
    """Move the values of an input as the layer moves it."""
    return forward_node(use.node, use.parameters, (values,), None).output


def _moved_forward(use: Use) -> Stray:
    mass = use.masses[0]
    return Stray(_moved(use, use.e), Mass(_moved(use, mass.size), mass.roundings))


def _moved_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    return Back(backward_node(use.node, use.parameters, use.inputs, use.choice, e_dy, None).inputs)


def _layer_scale_forward(use: Use) -> Stray:
    weight = np.abs(use.parameters["weight"])
    return Stray(weight * use.e + U * weight * use.sizes[0])


def _layer_scale_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    weight, size, axes = np.abs(use.parameters["weight"]), np.abs(dy) + e_dy, tuple(range(dy.ndim - 1))
    terms = dy.size // dy.shape[-1]
    of_weight = (use.e * size + np.abs(use.x) * e_dy).sum(axis=axes)
    of_weight = of_weight + gamma(terms + 1) * (use.sizes[0] * size).sum(axis=axes)
    return Back((weight * (e_dy + U * size),), {"weight": of_weight})


def _strayed_shares(inputs: int, scale: int) -> np.ndarray:
    """Bound the shares of a bilinear enlargement as engines may compute them, each on its own.

    The middle of output p, (p + 1/2) / scale - 1/2, takes three roundings of numbers up to `inputs`. A share strays by
    what that does, where the pixel is within a pixel of it.
    """
    places = np.clip((np.arange(inputs * scale) + 0.5) / scale - 0.5, 0, inputs - 1)
    near = np.abs(places[:, None] - np.arange(inputs)) <= 1
    return resizing.shares(inputs, scale, "bilinear") + gamma(3) * (inputs + 1) * near


def _strayed(use: Use, formula: str, values: np.ndarray) -> np.ndarray:
    """Enlarge values, or take their gradient back, with such shares of rows and columns."""
    sides, scales = use.x.shape[1:3], pair(use.layer.scale)
    return np.einsum(formula, *map(_strayed_shares, sides, scales), values)


def _upsample_forward(use: Use) -> Stray:
    if use.layer.mode == "nearest":
        return _moved_forward(use)
    most = _strayed(use, "pi,qj,nijc->npqc", use.sizes[0])  # of the sum; the shares and the sum are rounded, too
    return Stray(_moved(use, use.e) + most - _moved(use, use.sizes[0]) + gamma(9) * most)


def _upsample_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    size, layer = np.abs(dy) + e_dy, use.layer
    passed, sent = (resizing.backward(use.x, values, layer) for values in (e_dy, size))
    rows, columns = pair(layer.scale)
    if layer.mode == "nearest":
        return Back((passed + gamma(rows * columns) * sent,))
    most = _strayed(use, "pi,qj,npqc->nijc", size)
    return Back((passed + most - sent + gamma(4 * rows * columns + 6) * most,))  # of 2 · rows by 2 · columns outputs


RULES: dict[type[Layer], Rule] = {
    LayerScale: Rule(_layer_scale_forward, _layer_scale_backward),
    **dict.fromkeys((Conv2d, ConvTranspose2d, Linear), Rule(_weighted_forward, _weighted_backward)),
    **dict.fromkeys(AVERAGES, Rule(_average_forward, _average_backward)),
    MaxPool2d: Rule(
        lambda use: Stray(pool.max_forward(use.e, use.layer)[0]),
        lambda use, dy, e_dy: Back((argmax_error(use.layer, use.x, use.e, use.choice, e_dy, np.abs(dy) + e_dy),)),
    ),
    Flatten: Rule(_flatten_forward, lambda use, dy, e_dy: Back((e_dy.reshape(use.x.shape),))),
    **{layer: Rule(_function_forward, _function_backward) for layer in LAYERS if issubclass(layer, Activation)},
    PReLU: Rule(_prelu_forward, _prelu_backward),
    Softmax: Rule(_softmax_forward, _softmax_backward),
    Maxout: Rule(_maxout_forward, _maxout_backward),
    BatchNorm2d: Rule(_norm_forward, _norm_backward),
    **dict.fromkeys((GroupNorm, LayerNorm2d), Rule(_group_forward, _group_backward)),
    LocalResponseNorm: Rule(_local_response_forward, _local_response_backward),
    **dict.fromkeys((Dropout, Dropout2d, DropPath), Rule(_dropping_forward, _dropping_backward)),
    Add: Rule(_add_forward, _add_backward),
    Multiply: Rule(_multiply_forward, _multiply_backward),
    **dict.fromkeys((Slice, ChannelShuffle, PixelShuffle), Rule(_moved_forward, _moved_backward)),
    Upsample: Rule(_upsample_forward, _upsample_backward),
    Concatenate: Rule(
        _concatenate_forward,
        lambda use, dy, e_dy: Back(join.split(e_dy, [x.shape[-1] for x in use.inputs])),
    ),
}
