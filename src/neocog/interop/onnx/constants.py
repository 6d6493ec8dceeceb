"""Constant folding: what depends on no image is computed while a file is read.

Exporters write shapes as little programs (Shape, Gather, Concat, Reshape), and weights as ConstantOfShape or
Unsqueeze of others. Here is what NumPy makes of each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neocog.interop.onnx.call import NodeCall, Unsupported
from neocog.interop.onnx.tensors import AnyArray, dtype_of, type_name
from neocog.nn.limits import MAX_PARAMETERS

Fold = Callable[[NodeCall, Sequence[AnyArray]], "AnyArray | list[AnyArray]"]


MAX_COMPUTED = 1 << 26
"""Values of a constant that is computed; one that is filled with a single value takes no memory."""


def check_size(shape: Sequence[int], most: int = MAX_COMPUTED) -> None:
    """Raise Unsupported unless a constant of a shape is one that memory is taken for."""
    if any(side < 0 for side in shape):
        raise Unsupported(f"a constant cannot have the shape {list(shape)}")
    if math.prod(shape) > most:
        raise Unsupported(f"a constant of the shape {list(shape)} would hold more than {most:,} values")


def axes_of(call: NodeCall, place: int, rank: int, since: int) -> tuple[int, ...] | None:
    """Return the axes that a node names, from 0 up: as an attribute, from opset `since` on as an input; or None."""
    axes = call.integers(place) if call.opset >= since else call.attribute("axes", None)
    if axes is None:
        return None
    return tuple(call.axis(axis, rank) for axis in axes)


_CONSTANTS: dict[str, Any] = {
    "value": None,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}
"""An attribute that holds a Constant → the type of its values; None: its own."""


def _constant(call: NodeCall, _: Sequence[AnyArray]) -> AnyArray:
    for name, kind in _CONSTANTS.items():
        if name in call.node.attributes:
            return np.asarray(call.node.attributes[name], kind)
    raise Unsupported("only numbers are read")


def _filled(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    shape = [int(side) for side in inputs[0]]
    check_size(shape, MAX_PARAMETERS)
    value = np.asarray(call.attribute("value", np.zeros(1, np.float32))).reshape(-1)
    return np.broadcast_to(value[0], shape)  # takes no memory


def _cast(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    number = call.attribute("to", 0)
    dtype = dtype_of(number)
    if dtype is None:
        raise Unsupported(f"{type_name(number)} are not read")
    if dtype == inputs[0].dtype:
        return inputs[0]
    check_size(inputs[0].shape)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(inputs[0].astype(dtype))


def _reshape(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    shape = call.reshape_target(inputs[0].shape, [int(side) for side in inputs[1]])
    if inputs[0].size and not any(inputs[0].strides):  # one value everywhere, without memory of its own
        return np.broadcast_to(inputs[0][(0,) * inputs[0].ndim], shape)
    if not inputs[0].flags.c_contiguous:
        check_size(shape)
    return inputs[0].reshape(shape)


def _concat(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    check_size([sum(x.size for x in inputs)])
    return np.concatenate(inputs, call.attribute("axis", 0))


def _gather(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    return np.take(inputs[0], inputs[1], call.attribute("axis", 0))


def _squeeze(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    return np.squeeze(inputs[0], axes_of(call, 1, inputs[0].ndim, 13))


def _unsqueeze(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    given = call.integers(1) if call.opset >= 13 else call.attribute("axes", ())
    return np.expand_dims(inputs[0], tuple(given or ()))


def _transpose(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    return np.transpose(inputs[0], call.attribute("perm", None))


def _slice(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    return inputs[0][tuple(slice(*bounds) for bounds in call.slices(inputs[0].shape))]


def _expand(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(int(side) for side in inputs[1]))
    check_size(shape, MAX_PARAMETERS)
    return np.broadcast_to(inputs[0], shape)


def _range(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    start, limit, delta = (x.item() for x in inputs)
    if delta == 0:
        raise Unsupported("a range needs a step other than 0")
    check_size([max(0, math.ceil((limit - start) / delta))])
    return np.asarray(np.arange(start, limit, delta)).astype(inputs[0].dtype)


def _divide(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    x, y = inputs
    if np.issubdtype(x.dtype, np.integer):
        if not np.all(y):
            raise Unsupported("it divides by 0")
        return np.asarray(np.sign(x) * np.sign(y) * (np.abs(x) // np.abs(y)), x.dtype)  # towards 0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.divide(x, y))


def _clip(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
    low, high = call.limits()
    return np.clip(inputs[0], low, high).astype(inputs[0].dtype)


def _split(call: NodeCall, inputs: Sequence[AnyArray]) -> list[AnyArray]:
    axis = call.axis(call.attribute("axis", 0), inputs[0].ndim)
    return np.split(inputs[0], np.cumsum(call.split_sizes(inputs[0].shape[axis]))[:-1], axis)


def _reduced(function: Callable[..., Any], since: int) -> Fold:
    def fold(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
        axes = axes_of(call, 1, inputs[0].ndim, since)
        keep = bool(call.attribute("keepdims", 1))
        return np.asarray(function(inputs[0], axis=axes, keepdims=keep), inputs[0].dtype)

    return fold


def _each(function: Callable[..., Any], count: int) -> Fold:
    def fold(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
        if len(inputs) != count:
            raise Unsupported(f"it takes {count} inputs, got {len(inputs)}")
        check_size(np.broadcast_shapes(*(x.shape for x in inputs)))
        with np.errstate(all="ignore"):
            return np.asarray(function(*inputs))

    return fold


def _kept(function: Callable[..., Any]) -> Fold:
    """Return the fold of a function of one value whose result has its type."""

    def fold(call: NodeCall, inputs: Sequence[AnyArray]) -> AnyArray:
        check_size(inputs[0].shape)
        with np.errstate(all="ignore"):
            return np.asarray(function(inputs[0])).astype(inputs[0].dtype, copy=False)

    return fold


FOLDS: dict[str, Fold] = {
    "Abs": _kept(np.abs),
    "Add": _each(np.add, 2),
    "Cast": _cast,
    "Ceil": _kept(np.ceil),
    "Clip": _clip,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _filled,
    "Div": _divide,
    "Equal": _each(np.equal, 2),
    "Exp": _kept(np.exp),
    "Expand": _expand,
    "Floor": _kept(np.floor),
    "Gather": _gather,
    "Greater": _each(np.greater, 2),
    "Identity": lambda call, inputs: inputs[0],
    "Less": _each(np.less, 2),
    "Log": _kept(np.log),
    "Max": _each(np.maximum, 2),
    "Min": _each(np.minimum, 2),
    "Mul": _each(np.multiply, 2),
    "Neg": _kept(np.negative),
    "Not": _kept(np.logical_not),
    "Pow": _each(lambda x, y: np.power(x, y).astype(x.dtype), 2),
    "Range": _range,
    "Reciprocal": _kept(np.reciprocal),
    "ReduceMax": _reduced(np.max, 18),
    "ReduceMean": _reduced(np.mean, 18),
    "ReduceMin": _reduced(np.min, 18),
    "ReduceProd": _reduced(np.prod, 18),
    "ReduceSum": _reduced(np.sum, 13),
    "Reshape": _reshape,
    "Round": _kept(np.round),
    "Shape": lambda call, inputs: np.array(inputs[0].shape[call.shape_span(inputs[0].ndim)], np.int64),
    "Sign": _kept(np.sign),
    "Size": lambda call, inputs: np.array(inputs[0].size, np.int64),
    "Slice": _slice,
    "Split": _split,
    "Sqrt": _kept(np.sqrt),
    "Squeeze": _squeeze,
    "Sub": _each(np.subtract, 2),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _each(np.where, 3),
}
"""What is computed of constants alone, by operator."""
