"""What takes several values: sums, products, concatenations; and arithmetic with constants."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from neocog.interop.onnx.call import NodeCall, Unsupported, shrunk
from neocog.interop.onnx.parts import Erf, Flow, Rescale
from neocog.interop.onnx.reading.pointwise import rescaled
from neocog.interop.onnx.tensors import AnyArray
from neocog.nn.layer import Layer, channels_of
from neocog.nn.layers import GELU, Add, Concatenate, Hardsigmoid, Hardswish, Multiply, Sigmoid, SiLU
from neocog.nn.shapes import ImageShape, VectorShape
from neocog.nn.wiring import IMAGE


def _aligned(call: NodeCall, a: Flow, b: Flow) -> tuple[Flow, Flow]:
    """Return two values that ONNX combines one by one, as layers take them: arranged alike."""
    if _fit(a, b) or _fit(b, a):
        return a, b
    if isinstance(a.shape, VectorShape) and isinstance(b.shape, VectorShape):
        raise Unsupported(f"values of {list(a.dims)} and {list(b.dims)}, in another order, are not combined")
    a, b = call.image(a), call.image(b)
    if not (_fit(a, b) or _fit(b, a)):
        raise Unsupported(f"values of {list(a.dims)} and {list(b.dims)} are not combined")
    return a, b


def _fit(whole: Flow, other: Flow) -> bool:
    """Whether a layer takes both: they are arranged alike, or the other is the one pixel that stands for all."""
    if type(whole.shape) is not type(other.shape) or channels_of(whole.shape) != channels_of(other.shape):
        return False
    if other.is_pixel:
        return other.view == shrunk(whole)
    orders = (whole.order, other.order)
    alike = orders[0] is orders[1] or (None not in orders and np.array_equal(*orders))  # type: ignore[arg-type]
    return whole.shape == other.shape and whole.view == other.view and alike


def _joined(call: NodeCall, layer: Layer, flows: list[Flow]) -> Flow:
    result = flows[0]
    for other in flows[1:]:
        a, b = _aligned(call, result, other)
        larger = a if a.shape.size >= b.shape.size else b
        value = call.parts.add(call.name(), layer, (a.value, b.value), origin=call.node.title)
        result = Flow(value, larger.shape, larger.view, larger.order)
    return result


def _constants(values: list[AnyArray], combine: Callable[..., AnyArray]) -> AnyArray | None:
    total = None
    for value in values:
        total = value if total is None else combine(total, value)
    return total


def _check_shape(call: NodeCall, x: Flow, value: AnyArray) -> None:
    """Raise Unsupported where a constant would give a value a larger shape."""
    if np.broadcast_shapes(x.dims, value.shape) != x.dims:
        raise Unsupported(f"a constant of the shape {list(value.shape)} makes more of {list(x.dims)}")


def add(call: NodeCall) -> Flow:
    """Read an Add or Sum: of values, and of constants, one a channel."""
    flows = [value for value in call.inputs if isinstance(value, Flow)]
    constant = _constants([value for value in call.inputs if isinstance(value, np.ndarray)], np.add)
    result = call.settled(_joined(call, Add(), flows))
    if constant is None:
        return result
    _check_shape(call, result, constant)
    return call.add(Rescale(), result, shift=call.per_channel(result, constant))


def subtract(call: NodeCall) -> Flow:
    """Read a Sub."""
    first, second = call.input(0), call.input(1)
    if isinstance(first, Flow) and isinstance(second, Flow):
        return _joined(call, Add(), [first, rescaled(call, second, -1.0)])
    if isinstance(first, Flow):
        value = call.constant(1, "second input")
        _check_shape(call, first, value)
        return call.add(Rescale(), first, shift=-call.per_channel(first, value))
    x = call.flow(1)
    value = call.constant(0, "first input")
    _check_shape(call, x, value)
    minus = np.full(channels_of(x.shape), -1.0, np.float32)
    return call.add(Rescale(), x, scale=minus, shift=call.per_channel(x, value))


def multiply(call: NodeCall) -> Flow:
    """Read a Mul: of values, and by constants, one a channel."""
    flows = [value for value in call.inputs if isinstance(value, Flow)]
    constant = _constants([value for value in call.inputs if isinstance(value, np.ndarray)], np.multiply)
    result = call.settled(_gated(call, flows) or _joined(call, Multiply(), flows))
    if constant is None:
        return result
    _check_shape(call, result, constant)
    return call.add(Rescale(), result, scale=call.per_channel(result, constant))


def _gated(call: NodeCall, flows: list[Flow]) -> Flow | None:
    """Return x · f(x) as the one layer that files of older opsets write so: SiLU, Hardswish, GELU."""
    if len(flows) != 2 or flows[0].view != flows[1].view:
        return None
    for x, gate in (flows, flows[::-1]):
        scale, place = _scaled(call, x.value)
        times, shift, inside = _rescaled(call, gate.value)
        if inside == IMAGE:
            continue
        part = call.parts.parts[inside]
        source = part.inputs[0]
        if isinstance(part.layer, Sigmoid | Hardsigmoid) and (times, shift, source) == (1.0, 0.0, x.value):
            return call.add(SiLU() if isinstance(part.layer, Sigmoid) else Hardswish(), x)
        if isinstance(part.layer, Erf) and times == shift:
            within, base = _scaled(call, source)
            if base == place and abs(within - math.sqrt(0.5)) < 1e-6:
                plain = Flow(place, x.shape, x.view, x.order)
                return rescaled(call, call.add(GELU(), plain), 2.0 * scale * times)
    return None


def _rescaled(call: NodeCall, value: int) -> tuple[float, float, int]:
    """Return by which two numbers a value is another one multiplied and added to, and which: 1, 0 and itself if not."""
    scale, shift = 1.0, 0.0
    while value != IMAGE:
        part = call.parts.parts[value]
        if not isinstance(part.layer, Rescale) or any(np.ptp(array) for array in part.arrays.values()):
            break
        own = float(part.arrays["scale"][0]) if "scale" in part.arrays else 1.0
        shift += scale * float(part.arrays["shift"][0]) if "shift" in part.arrays else 0.0
        scale, value = scale * own, part.inputs[0]
    return scale, shift, value


def _scaled(call: NodeCall, value: int) -> tuple[float, int]:
    """Return the number that a value is another one times, and which: 1 and itself where something is added too."""
    scale, shift, inside = _rescaled(call, value)
    return (scale, inside) if shift == 0.0 else (1.0, value)


def divide(call: NodeCall) -> Flow:
    """Read a Div by a constant, one a channel."""
    x, value = call.flow(), call.constant(1, "divisor")
    if not np.all(value):
        raise Unsupported("it divides by 0")
    _check_shape(call, x, value)
    return call.add(Rescale(), x, scale=(1.0 / call.per_channel(x, value).astype(np.float64)))


def concatenate(call: NodeCall) -> Flow:
    """Read a Concat of channels, or of vectors."""
    flows = [call.flow(place) for place in range(len(call.inputs))]
    axis = call.axis(call.attribute("axis", 1), len(flows[0].view))
    if len(flows) == 1:
        return flows[0]
    if all(len(flow.view) == 2 for flow in flows):
        if axis != 1:
            raise Unsupported("it joins images of a batch")
        flows = [call.vector(flow) for flow in flows]
        result = call.add(Concatenate(), *flows)
        if all(flow.order is None for flow in flows):
            return Flow(result.value, result.shape, result.plain)
        ends = np.cumsum([0, *(flow.shape.size for flow in flows)])
        orders = [np.arange(flow.shape.size) if flow.order is None else flow.order for flow in flows]
        order = np.concatenate([order + start for order, start in zip(orders, ends, strict=False)])
        return Flow(result.value, result.shape, result.plain, order)
    if any(flow.view == flow.plain for flow in flows):
        flows = [call.image(flow) for flow in flows]
    if any(call.channel_axis(flow) != axis for flow in flows):
        raise Unsupported(f"it joins along axis {axis} of {list(flows[0].dims)}, channels are joined here")
    rest = [tuple(part for place, part in enumerate(flow.view) if place != axis) for flow in flows]
    if any(view != rest[0] for view in rest) or not isinstance(flows[0].shape, ImageShape):
        raise Unsupported("it joins images that are arranged otherwise")
    value = call.parts.add(call.name(), Concatenate(), tuple(flow.value for flow in flows), origin=call.node.title)
    shape = call.parts.shape(value)
    channels = Flow(value, shape, flows[0].view).plain[1]
    return Flow(value, shape, (*flows[0].view[:axis], channels, *flows[0].view[axis + 1 :]))


RULES = {"Add": add, "Concat": concatenate, "Div": divide, "Mul": multiply, "Sub": subtract, "Sum": add}
