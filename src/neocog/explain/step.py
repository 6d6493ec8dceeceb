"""What a layer does to single values, step by step: what goes in, what is added or scaled, what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neocog.explain.subject import Array
from neocog.explain.trace import Trace
from neocog.nn.graph import Node
from neocog.nn.layer import channels_of
from neocog.nn.layers import AdaptiveAvgPool2d, GlobalAvgPool2d, LayerNorm2d, LocalResponseNorm, Maxout
from neocog.nn.shapes import ImageShape
from neocog.nn.window import counts
from neocog.reference.local_response import around
from neocog.reference.network import backward_node, forward_node
from neocog.reference.normalization import Statistics, pixel_statistics

CURVE = 129  # points of an activation's curve
WIDE = 4.0  # an activation's curve reaches at least so far to both sides of 0: its shape is seen whatever comes

Sign = Literal["", "+", "-", "*", "/", "f", "e", "sum", "max", "="]


@dataclass(frozen=True, slots=True)
class ChannelStep:
    """One map on the way through a layer, for one of its output channels.

    name: what it holds: "input", "centred", "normalised", "scaled", "output", ….
    sign: how it comes of the step before: "+", "-", "*", "/", "f" (the layer's function), "e" (the exponential),
        "sum" (of the map, or over channels), "max", "=" (unchanged); "" for what goes in. A "+" or "*" of another
        input stands with that input.
    values: (P, Q); of a vector (1, 1).
    number: the one number that the step takes, the same at all places; None where it takes none.
    source: of what goes in: the number of the value, -1 for the image, and its channel.
    """

    name: str
    sign: Sign
    values: Array
    number: float | None = None
    source: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """An activation's graph: what it makes of x, and its slope there; (n,) each."""

    x: Array
    value: Array
    slope: Array


@dataclass(frozen=True, slots=True)
class ChannelSteps:
    """One output channel of a layer, taken apart.

    steps: in order; the last one holds what the layer gives.
    slope: (P, Q) an activation's derivative at each place; None for other layers. curve: of an activation.
    parts: of a Concatenate, for each input: the first of its channels in the output, and how many there are.
    """

    steps: tuple[ChannelStep, ...]
    slope: Array | None = None
    curve: Curve | None = None
    parts: tuple[tuple[int, int], ...] = ()


def normalization(statistics: Callable[[Trace, Node], Statistics]) -> Callable[[Trace, Node, int], ChannelSteps]:
    """Return what takes a normalization apart: y = (x - mean) / √(variance + ε) · γ + β.

    Arguments:
        statistics: given the layer, mean and variance for each channel.
    """

    def apart(traced: Trace, node: Node, channel: int) -> ChannelSteps:
        found = statistics(traced, node)
        mean = float(found.mean[channel])
        deviation = float(np.sqrt(found.variance[channel] + node.layer.epsilon))  # type: ignore[attr-defined]
        first = _input(traced, node, 0, channel)
        centred = first.values - mean
        normalised = centred / deviation
        steps = [
            first,
            ChannelStep("centred", "-", centred, mean),
            ChannelStep("normalised", "/", normalised, deviation),
        ]
        return ChannelSteps((*steps, *_learned(traced, node, channel, normalised)))

    return apart


def layer_normalization(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Take a LayerNorm2d apart: as other normalizations, but mean and deviation are those of each place."""
    assert isinstance(node.layer, LayerNorm2d)
    found = pixel_statistics(traced.run.input(node.index))
    mean = _two(found.mean[0, ..., 0])
    deviation = _two(np.sqrt(found.variance[0, ..., 0] + node.layer.epsilon))
    first = _input(traced, node, 0, channel)
    centred = first.values - mean
    normalised = centred / deviation
    steps = [first, ChannelStep("mean", "", mean), ChannelStep("centred", "-", centred)]
    steps += [ChannelStep("deviation", "", deviation), ChannelStep("normalised", "/", normalised)]
    return ChannelSteps((*steps, *_learned(traced, node, channel, normalised)))


def local_response(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Take a LocalResponseNorm apart: the squares of the channels beside each, and what is divided by for them."""
    layer = node.layer
    assert isinstance(layer, LocalResponseNorm)
    x, first = traced.input(node.index), _input(traced, node, 0, channel)
    squares = _map(around(x * x, *layer.beside(x.shape[-1])), channel)
    share = layer.alpha / layer.size
    raised = squares * share + layer.k
    steps = [first, ChannelStep("squares", "", squares), ChannelStep("share", "*", squares * share, share)]
    steps += [ChannelStep("raised", "+", raised, layer.k), ChannelStep("divisor", "", raised**layer.beta)]
    return ChannelSteps((*steps, ChannelStep("output", "/", _map(traced.output(node.index), channel))))


def _learned(traced: Trace, node: Node, channel: int, normalised: Array) -> list[ChannelStep]:
    """Return what γ and β make of normalised values, where a normalization has them."""
    if not node.layer.affine:  # type: ignore[attr-defined]
        return []
    weight, bias = (float(traced.parameters[f"{node.name}.{name}"][channel]) for name in ("weight", "bias"))
    scaled = normalised * weight
    return [ChannelStep("scaled", "*", scaled, weight), ChannelStep("output", "+", scaled + bias, bias)]


def running_averages(traced: Trace, node: Node) -> Statistics:
    """Return what a BatchNorm2d takes for mean and variance."""
    mean, variance = (traced.parameters[f"{node.name}.{name}"] for name in ("running_mean", "running_var"))
    return Statistics(mean, variance)


def activation(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Take an activation apart: the value in, the value out, the slope there, and the curve that both lie on."""
    first = _input(traced, node, 0, channel)
    low, high = min(-WIDE, _finite(first.values, np.min)), max(WIDE, _finite(first.values, np.max))
    x = np.linspace(low, high, CURVE)
    value, slope = _function(traced, node, x, channel)
    _, own = _function(traced, node, first.values.ravel(), channel)
    output = ChannelStep("output", "f", _map(traced.output(node.index), channel))
    return ChannelSteps((first, output), own.reshape(first.values.shape), Curve(x, value, slope))


def addition(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Take an Add apart into its summands."""
    return _joined(traced, node, channel, "summand", "+")


def multiplication(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Take a Multiply apart into its factors."""
    return _joined(traced, node, channel, "factor", "*")


def concatenation(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Name the input that a channel of a Concatenate comes from, and all of its parts."""
    sizes = [channels_of(shape) for shape in node.shapes]
    starts = [sum(sizes[:position]) for position in range(len(sizes))]
    position = max(position for position, start in enumerate(starts) if start <= channel)
    first = _input(traced, node, position, channel - starts[position])
    return ChannelSteps((first, ChannelStep("output", "=", first.values)), parts=tuple(zip(starts, sizes, strict=True)))


def moved(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Name the channel that a channel of a layer comes from which moves channels; the reference says which."""
    numbers = np.arange(channels_of(node.input), dtype=np.float64)
    sides = (1, 1, 1, -1) if traced.input(node.index).ndim == 3 else (1, -1)
    order = forward_node(node, traced.parameters, (numbers.reshape(sides),), None).output
    first = _input(traced, node, 0, int(order[..., channel].item()))
    return ChannelSteps((first, ChannelStep("output", "=", first.values)))


def mean(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Take a GlobalAvgPool2d or AdaptiveAvgPool2d apart: the cells of a map, or of each part of it, added up and
    divided by their number.
    """
    assert isinstance(node.layer, GlobalAvgPool2d | AdaptiveAvgPool2d)
    assert isinstance(node.input, ImageShape)
    first = _input(traced, node, 0, channel)
    output = _map(traced.output(node.index), channel)
    cells = np.multiply.outer(*map(np.array, counts(node.layer.counted_over(node.input)))).astype(np.float64)
    steps = [first, ChannelStep("total", "sum", output * cells)]
    if (cells == cells[0, 0]).all():
        return ChannelSteps((*steps, ChannelStep("output", "/", output, float(cells[0, 0]))))
    return ChannelSteps((*steps, ChannelStep("cells", "", cells), ChannelStep("output", "/", output)))


def softmax(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Take a Softmax apart: each value as a power of e, divided by the sum of those of all channels."""
    x = traced.input(node.index)
    first = _input(traced, node, 0, channel)
    largest = _two(x.max(axis=-1))
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return ChannelSteps(
        (
            first,
            ChannelStep("largest", "max", largest),
            ChannelStep("below", "-", first.values - largest),
            ChannelStep("power", "e", _map(powers, channel)),
            ChannelStep("total", "sum", _two(powers.sum(axis=-1))),
            ChannelStep("output", "/", _map(traced.output(node.index), channel)),
        )
    )


def contest(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Take a Maxout apart into the channels that compete for one output."""
    assert isinstance(node.layer, Maxout)
    outputs = channels_of(node.output)
    pieces = range(channel, node.layer.pieces * outputs, outputs)
    found = [_input(traced, node, 0, piece, "candidate") for piece in pieces]
    return ChannelSteps((*found, ChannelStep("output", "max", _map(traced.output(node.index), channel))))


def unchanged(traced: Trace, node: Node, channel: int) -> ChannelSteps:
    """Show that a layer which works in training only changes nothing here."""
    first = _input(traced, node, 0, channel)
    return ChannelSteps((first, ChannelStep("output", "=", first.values)))


def _joined(traced: Trace, node: Node, channel: int, name: str, sign: Sign) -> ChannelSteps:
    parts = [
        _input(traced, node, position, channel, name, sign if position else "") for position in range(len(node.inputs))
    ]
    return ChannelSteps((*parts, ChannelStep("output", "=", _map(traced.output(node.index), channel))))


def _input(traced: Trace, node: Node, position: int, channel: int, name: str = "input", sign: Sign = "") -> ChannelStep:
    values = _map(traced.input(node.index, position), channel)
    return ChannelStep(name, sign, values, source=(node.inputs[position], channel))


def _map(values: Array, channel: int) -> Array:
    """Return one channel (P, Q) of maps (P, Q, K), or one value (1, 1) of a vector."""
    return _two(values[..., channel])


def _two(values: Array) -> Array:
    """Return a map as it is, a single value as one of one cell."""
    return np.asarray(values, np.float64).reshape(np.shape(values) or (1, 1))


def _finite(values: Array, least: object) -> float:
    finite = values[np.isfinite(values)]
    return float(least(finite)) if finite.size else 0.0  # type: ignore[operator]


def _function(traced: Trace, node: Node, x: Array, channel: int) -> tuple[Array, Array]:
    """Return what an activation makes of values (n,) in one channel, and its slope there, by the reference's rules."""
    every: NDArray[np.float64] = np.repeat(x[:, None], channels_of(node.input), axis=1)
    given = forward_node(node, traced.parameters, (every,), None)
    sent = backward_node(node, traced.parameters, (every,), given.choice, np.ones_like(every), None)
    return given.output[:, channel], sent.inputs[0][:, channel]
