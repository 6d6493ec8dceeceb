"""What works value by value: activations, and arithmetic with constants."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from neocog.interop.onnx.call import NodeCall, Unsupported
from neocog.interop.onnx.parts import Erf, Flow, LogSoftmax, Rescale
from neocog.interop.onnx.tensors import dtype_of, type_name
from neocog.interop.onnx.views import is_whole
from neocog.nn.layer import Layer, channels_of
from neocog.nn.layers import (
    ELU,
    GELU,
    Hardsigmoid,
    Hardswish,
    LeakyReLU,
    Multiply,
    PReLU,
    ReLU,
    ReLU6,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
)
from neocog.nn.shapes import ImageShape

SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875
"""Of ONNX's Selu, which has them from Klambauer et al. 2017, Self-normalizing neural networks."""


def rescaled(call: NodeCall, x: Flow, scale: float = 1.0, shift: float = 0.0) -> Flow:
    """Return x · scale + shift for two numbers."""
    if (scale, shift) == (1.0, 0.0):
        return x
    count = channels_of(x.shape)
    return call.add(
        Rescale(),
        x,
        scale=None if scale == 1.0 else np.full(count, scale, np.float32),
        shift=None if shift == 0.0 else np.full(count, shift, np.float32),
    )


def _same(make: Callable[[NodeCall], Layer]) -> Callable[[NodeCall], Flow]:
    def rule(call: NodeCall) -> Flow:
        return call.add(make(call), call.flow())

    return rule


def clip(call: NodeCall) -> Flow:
    """Read a Clip: a ReLU6, a ReLU, or one of these with arithmetic around it."""
    x, (low, high) = call.flow(), call.limits()
    if math.isnan(low) or math.isnan(high) or low > high:
        raise Unsupported(f"its limits are {low:g} and {high:g}")
    if low == high:
        raise Unsupported(f"with equal limits, {low:g}, it gives nothing else")
    if math.isinf(low) and math.isinf(high):
        return x
    if math.isinf(high):
        return rescaled(call, call.add(ReLU(), rescaled(call, x, 1.0, -low)), 1.0, low)
    if math.isinf(low):
        return rescaled(call, call.add(ReLU(), rescaled(call, x, -1.0, high)), -1.0, high)
    factor = 6.0 / (high - low)
    return rescaled(call, call.add(ReLU6(), rescaled(call, x, factor, -low * factor)), 1.0 / factor, low)


def hard_sigmoid(call: NodeCall) -> Flow:
    """Read a HardSigmoid of any slope; neocog's has 1/6 and 1/2."""
    alpha, beta = call.attribute("alpha", 0.2), call.attribute("beta", 0.5)
    scale, shift = 6.0 * alpha, 6.0 * beta - 3.0
    scale = 1.0 if abs(scale - 1.0) < 1e-6 else scale  # the file has 1/6 in float32
    return call.add(Hardsigmoid(), rescaled(call, call.flow(), scale, 0.0 if abs(shift) < 1e-6 else shift))


def selu(call: NodeCall) -> Flow:
    """Read a Selu: an ELU, multiplied."""
    alpha, gamma = call.attribute("alpha", SELU_ALPHA), call.attribute("gamma", SELU_GAMMA)
    return rescaled(call, call.add(ELU(alpha), call.flow()), gamma)


def celu(call: NodeCall) -> Flow:
    """Read a Celu: an ELU, multiplied before and behind."""
    alpha = call.attribute("alpha", 1.0)
    if alpha == 0.0:
        raise Unsupported("its alpha is 0")
    return rescaled(call, call.add(ELU(1.0), rescaled(call, call.flow(), 1.0 / alpha)), alpha)


def prelu(call: NodeCall) -> Flow:
    """Read a PRelu with one slope, or one for each channel."""
    x = call.flow()
    return call.add(PReLU(), x, weight=call.per_channel(x, call.constant(1, "slope")))


def swish(call: NodeCall) -> Flow:
    """Read a Swish: a SiLU, of a multiple of x where alpha is not 1."""
    alpha = call.attribute("alpha", 1.0)
    if alpha == 0.0:
        return rescaled(call, call.flow(), 0.5)
    return rescaled(call, call.add(SiLU(), rescaled(call, call.flow(), alpha)), 1.0 / alpha)


def gelu(call: NodeCall) -> Flow:
    """Read a Gelu."""
    approximate = call.attribute("approximate", "none")
    if approximate not in ("none", "tanh"):
        raise Unsupported(f"approximate {approximate!r} is not known")
    return call.add(GELU(approximate), call.flow())


def softmax(call: NodeCall) -> Flow:
    """Read a Softmax over channels. Up to opset 12 it is one over all axes from its own on."""
    x = call.flow()
    old = call.opset < 13
    axis = call.axis(call.attribute("axis", 1 if old else -1), len(x.view))
    name, count = ("C" if isinstance(x.shape, ImageShape) else "F"), channels_of(x.shape)
    over = tuple(factor for place in x.view[axis:] for factor in place) if old else x.view[axis]
    if not is_whole(tuple(sorted(over, key=lambda factor: -factor.stride)), name, count):
        raise Unsupported(f"a softmax over channels is read, axis {axis} of {list(x.dims)} is not all of them")
    return call.add(Softmax(), x)


def log_softmax(call: NodeCall) -> Flow:
    """Read a LogSoftmax as one layer, if it is the last; see `reader.py`."""
    x = softmax(call)
    part = call.parts.parts[x.value]
    return call.add(LogSoftmax(), Flow(part.inputs[0], x.shape, x.view, x.order))


def cast(call: NodeCall) -> Flow:
    """Read a Cast to float32, which images are anyway."""
    number = call.attribute("to", 0)
    if dtype_of(number) != np.float32:
        raise Unsupported(f"values are float32 here, it makes {type_name(number)} of them")
    return call.flow()


def same(call: NodeCall) -> Flow:
    """Return what comes."""
    return call.flow()


def negate(call: NodeCall) -> Flow:
    """Read a Neg."""
    return rescaled(call, call.flow(), -1.0)


def power(call: NodeCall) -> Flow:
    """Read a Pow by 1 or 2."""
    x, exponent = call.flow(), call.constant(1, "exponent")
    if exponent.size == 1 and exponent.reshape(-1)[0] == 1:
        return x
    if exponent.size == 1 and exponent.reshape(-1)[0] == 2:
        return call.add(Multiply(), x, x)
    raise Unsupported("powers of 1 and 2 are read")


RULES = {
    "Cast": cast,
    "Celu": celu,
    "Clip": clip,
    "Dropout": same,
    "Erf": _same(lambda call: Erf()),
    "Elu": _same(lambda call: ELU(call.attribute("alpha", 1.0))),
    "Gelu": gelu,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": _same(lambda call: Hardswish()),
    "Identity": same,
    "LeakyRelu": _same(lambda call: LeakyReLU(call.attribute("alpha", 0.01))),
    "LogSoftmax": log_softmax,
    "Neg": negate,
    "PRelu": prelu,
    "Pow": power,
    "Relu": _same(lambda call: ReLU()),
    "Selu": selu,
    "Sigmoid": _same(lambda call: Sigmoid()),
    "Softmax": softmax,
    "Swish": swish,
    "Tanh": _same(lambda call: Tanh()),
}
