"""Which values of a network are rounded to 8 bits where it predicts in int8, and by which scales.

A rounded value x becomes the integer q nearest to x / scale: from 0 to 255 where it cannot be negative, else from -127
to 127. There is no zero point: 0 stays 0, so that zeros around an image stay zeros. docs/int8.md has all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError
from neocog.nn.graph import IMAGE, Graph
from neocog.nn.layer import Layer
from neocog.nn.layers import (
    AdaptiveAvgPool2d,
    Add,
    AvgPool2d,
    ChannelShuffle,
    Concatenate,
    Conv2d,
    Flatten,
    GlobalAvgPool2d,
    Hardsigmoid,
    Linear,
    Maxout,
    MaxPool2d,
    Multiply,
    PixelShuffle,
    ReLU,
    ReLU6,
    Sigmoid,
    Slice,
    Softmax,
    Upsample,
)
from neocog.nn.limits import is_number, shown

UNSIGNED_LIMIT = 255
"""The largest integer of a value that cannot be negative."""

SIGNED_LIMIT = 127
"""The largest integer of weights, and of a value that can be negative; the least is -127."""

LEAST_SCALE, LARGEST_SCALE = 2.0**-60, 2.0**60
"""Of values and of weights. Products of two scales, and the inverses of scales, are then normal numbers of float32."""

_MULTIPLIES = (Conv2d, Linear)
_MOVES = (Flatten, MaxPool2d)  # the integers that go in are those that come out, some of them
_POSITIVE = (ReLU, ReLU6, Sigmoid, Hardsigmoid, Softmax)
_KEEPS_SIGN = (
    *(AvgPool2d, AdaptiveAvgPool2d, GlobalAvgPool2d, Concatenate, Add, Multiply),
    *(Slice, ChannelShuffle, PixelShuffle, Upsample, Maxout),
)
_FEW = 1024  # weights of a filter; with more of them, errors cancel by themselves, and trying takes long
_ROOM = float(1 << 29)  # for the bias, and for the products before weights are rounded, which at most doubles them


class _Unchanging(dict[str, float]):
    """A dict as others are, to be shown, copied and written as JSON, but for what would change it."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("scales cannot be changed; make others: Scales(image, values)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[dict[str, float]], tuple[dict[str, float]]]:
        return dict, (dict(self),)


@dataclass(frozen=True, slots=True)
class Scales:
    """What one step of each rounded value is worth.

    Arguments:
        image: the scale of the image; 1 where no layer multiplies it.
        values: name of a layer of the folded graph (`neocog.nn.rewrite.fold_norms`) → the scale of what it gives.

    Each is kept as the nearest number of float32, and `values` as a mapping that cannot be changed.

    Raises:
        SettingError: a scale is no number, or not from 2^-60 to 2^60.

    >>> dict(Scales(1 / 255, {"1": 0.1}).values)
    {'1': 0.10000000149011612}
    """

    image: float = 1.0
    values: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "image", _checked("the image", self.image))
        values = {name: _checked(name, value) for name, value in self.values.items()}
        object.__setattr__(self, "values", _Unchanging(values))

    def __hash__(self) -> int:
        return hash((self.image, tuple(sorted(self.values.items()))))

    def __reduce__(self) -> tuple[type[Scales], tuple[float, dict[str, float]]]:
        return Scales, (self.image, dict(self.values))  # which makes them unchanging anew

    def of(self, graph: Graph, value: int) -> np.float32:
        """Return the scale of a value of a folded graph that is rounded, or whose integers are those of one that is."""
        source = source_of(graph, value)
        return np.float32(self.image if source == IMAGE else self.values[graph.nodes[source].name])

    def check(self, graph: Graph) -> None:
        """Raise SettingError unless these are the scales of a folded graph: of each rounded value, and of no other."""
        wanted = {graph.nodes[index].name for index in rounded_values(graph) if index != IMAGE}
        faults = [f"missing: {shown(name)}" for name in sorted(wanted - self.values.keys())]
        faults += [f"unknown: {shown(name)}" for name in sorted(self.values.keys() - wanted)]
        if faults:
            raise SettingError(
                f"scales must be those of the network's {len(wanted)} rounded values, got {len(self.values)}",
                details=tuple(faults[:8]),
                hint="neocog quantise finds them, in Python Model.quantise",
            )


def source_of(graph: Graph, value: int) -> int:
    """Return the value whose integers a value's are: of what Flatten, MaxPool2d, or a layer that drops at random give,
    the one that they take, and so on; of any other the value itself.

    The largest of some values is rounded to the largest of their integers: so pooling may come before or behind.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.graph import trace
    >>> graph = trace(Sequential(Conv2d(2, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(2)), (6, 6, 1))
    >>> [source_of(graph, value) for value in range(-1, 5)]
    [-1, 0, 1, 1, 1, 4]
    """
    while value != IMAGE and _moves(graph.nodes[value].layer):
        (value,) = graph.nodes[value].inputs
    return value


def rounded_values(graph: Graph) -> frozenset[int]:
    """Return which values of a folded graph are rounded where it predicts in int8: the sources of all that a Conv2d or
    a Linear takes. -1 is the image. Whoever else takes such a value takes it rounded.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.graph import trace
    >>> graph = trace(Sequential(Conv2d(2, 3), ReLU(), MaxPool2d(2), Flatten(), Linear(2)), (6, 6, 1))
    >>> sorted(rounded_values(graph))
    [-1, 1]
    """
    return frozenset(source_of(graph, node.inputs[0]) for node in graph.nodes if isinstance(node.layer, _MULTIPLIES))


def never_negative(graph: Graph, index: int) -> bool:
    """Whether a value cannot be negative, by the layers alone: its integers are then from 0 to 255.

    Arguments:
        graph: the network.
        index: of the layer that gives the value; -1 is the image. Pixels from 0 to 1 are not negative where nothing is
            taken off them; where nothing at all happens to them, somebody may have done so before.
    """
    waiting, seen = [index], {index}
    while waiting:
        value = waiting.pop()
        if value == IMAGE:
            if graph.normalisation.is_identity or any(mean > 0 for mean in graph.normalisation.mean):
                return False
            continue
        node = graph.nodes[value]
        if isinstance(node.layer, _POSITIVE):
            continue
        if not (_moves(node.layer) or isinstance(node.layer, _KEEPS_SIGN)):
            return False
        waiting += [before for before in node.inputs if before not in seen]
        seen.update(node.inputs)
    return True


def limits_of(graph: Graph, value: int) -> tuple[int, int]:
    """Return the least and the largest integer that a rounded value may be: (0, 255) or (-127, 127)."""
    return (0, UNSIGNED_LIMIT) if never_negative(graph, source_of(graph, value)) else (-SIGNED_LIMIT, SIGNED_LIMIT)


def weight_scales(
    weight: NDArray[np.generic], bias: NDArray[np.generic] | None, input_scale: np.float32
) -> NDArray[np.float32]:
    """Return the scale of each output channel's weights: their largest absolute value / 127, or up to a quarter more,
    where the errors of a filter's weights then cancel better.

    All errors of a filter's weights e meet in one sum, Σ e x. Of values x that are a rectified normal distribution, as
    behind a ReLU, its mean square is proportional to (Σ e)² + (π - 1) Σ e²; of 32 scales the one with the least is
    taken. It halves what is lost in depthwise filters; of filters with many weights little is left to gain.

    There are two exceptions, without which a sum might not fit into 32 bits: a bias beyond 2^29 steps, as channels have
    that a normalization has all but switched off, and tens of thousands of weights as large as the largest.

    Arguments:
        weight: (…, K), in memory layout, float32.
        bias: (K,), or None.
        input_scale: of what the weights are multiplied by.

    Returns:
        (K,); 1 where all is zero.

    Raises:
        SettingError: a weight or bias is no finite number, or so large that its scale would be above 2^60.

    >>> weight_scales(np.array([[127, 1, 0]]), np.array([0, 2**40, 0]), np.float32(1))
    array([1.000e+00, 2.048e+03, 1.000e+00], dtype=float32)
    """
    rows = np.abs(np.asarray(weight, np.float32).reshape(-1, weight.shape[-1]))
    shift = np.zeros(rows.shape[1]) if bias is None else np.abs(np.asarray(bias, np.float64))
    if not (np.isfinite(rows).all() and np.isfinite(shift).all()):
        raise SettingError("weights must be finite numbers to be rounded to 8 bits, got NaN or infinite ones")
    usual = rows.max(axis=0) / np.float32(SIGNED_LIMIT)
    if len(rows) <= _FEW:
        usual = _balanced(np.asarray(weight, np.float32).reshape(rows.shape), usual)
    for_bias = shift / (float(input_scale) * _ROOM)
    for_sums = rows.sum(axis=0, dtype=np.float64) * (UNSIGNED_LIMIT / _ROOM)
    least = np.minimum(np.maximum(for_bias, for_sums), 2 * LARGEST_SCALE).astype(np.float32)
    scales: NDArray[np.float32] = np.maximum(usual, least)
    if scales.max(initial=0) > LARGEST_SCALE:
        raise SettingError("weights and biases are too large to be rounded to 8 bits: a step would be above 2^60")
    scales[scales <= LEAST_SCALE] = 1  # weights so small are zeros
    return scales


def _balanced(weight: NDArray[np.float32], least: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scales from `least` on by which the errors of filters (terms, K) matter least."""
    best, chosen = np.full(len(least), np.inf), least
    for factor in np.linspace(1, 1.25, 32, dtype=np.float32):
        scales = np.maximum(least * factor, np.float32(LEAST_SCALE))
        # Row by row, in float64: the same scales on every machine.
        errors = (weight - np.rint(weight / scales) * scales).astype(np.float64)
        matter = errors.sum(axis=0) ** 2 + (np.pi - 1) * np.square(errors).sum(axis=0)
        chosen, best = np.where(matter < best, scales, chosen), np.minimum(matter, best)
    return chosen


def _moves(layer: Layer) -> bool:
    return layer.training_only or isinstance(layer, _MOVES)


def _checked(name: str, value: object) -> float:
    if not (is_number(value) and LEAST_SCALE <= value <= LARGEST_SCALE):  # type: ignore[operator]
        raise SettingError(f"the scale of {name} must be a positive number from 2^-60 to 2^60, got {shown(value)}")
    return float(np.float32(value))  # type: ignore[arg-type]
