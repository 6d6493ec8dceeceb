"""Normalizations. A BatchNormalization stays one: it can be trained on."""

from __future__ import annotations

import numpy as np

from neocog.interop.onnx.call import NodeCall, Unsupported
from neocog.interop.onnx.parts import Floats, Flow
from neocog.interop.onnx.reading.weighted import floats
from neocog.interop.onnx.views import reshaped
from neocog.nn.layer import channels_of
from neocog.nn.layers import BatchNorm2d, GroupNorm, LayerNorm2d, LocalResponseNorm
from neocog.nn.shapes import ImageShape


def _row(call: NodeCall, place: int, name: str, count: int) -> Floats:
    values = floats(call.constant(place, name))
    if values.shape != (count,):
        raise Unsupported(f"its {name} must be a row of {count}, got {list(values.shape)}")
    return values


def batch_norm(call: NodeCall) -> Flow:
    """Read a BatchNormalization, with the running averages that it predicts with."""
    x = call.flow()
    x = call.image(x) if len(x.view) == 4 else call.vector(x)
    if call.attribute("training_mode", 0):
        raise Unsupported(
            "it normalizes with the statistics of each batch (training_mode): export the network as it predicts"
        )
    if call.opset < 9 and call.attribute("spatial", 1) != 1:
        raise Unsupported("it normalizes each pixel by itself (spatial = 0)")
    count = channels_of(x.shape)
    names = ("weight", "bias", "running_mean", "running_var")
    arrays = {name: call.ordered(x, _row(call, place, name, count)) for place, name in enumerate(names, 1)}
    layer = BatchNorm2d(round(1.0 - call.attribute("momentum", 0.9), 7), call.attribute("epsilon", 1e-5))
    return call.add(layer, x, view=None, **arrays)


def instance_norm(call: NodeCall) -> Flow:
    """Read an InstanceNormalization: a GroupNorm of as many groups as channels; or of fewer, where a Reshape made one
    channel of each group, as exporters write a GroupNorm.
    """
    x = call.flow()
    groups, plain = x.dims[1], x.plain
    if isinstance(x.shape, ImageShape) and len(x.view) == 3 and x.view == reshaped(plain, x.dims):
        members = channels_of(x.shape) // groups
        if members * groups == channels_of(x.shape):
            scale, bias = (np.repeat(_row(call, place, name, groups), members) for place, name in _LEARNT)
            layer = GroupNorm(groups, call.attribute("epsilon", 1e-5))
            return call.add(layer, x, weight=scale, bias=bias)
    x = call.image(x)
    count = channels_of(x.shape)
    layer = GroupNorm(count, call.attribute("epsilon", 1e-5))
    return call.add(layer, x, weight=_row(call, 1, "scale", count), bias=_row(call, 2, "bias", count))


def group_norm(call: NodeCall) -> Flow:
    """Read a GroupNormalization. Up to opset 20 it has one scale a group."""
    x = call.image(call.flow())
    count, groups = channels_of(x.shape), call.attribute("num_groups", 0)
    layer = GroupNorm(groups, call.attribute("epsilon", 1e-5))
    if count % groups:
        raise Unsupported(f"{groups} groups do not divide {count} channels")
    if call.opset < 21:
        scale, bias = (np.repeat(_row(call, place, name, groups), count // groups) for place, name in _LEARNT)
    else:
        scale, bias = (_row(call, place, name, count) for place, name in _LEARNT)
    return call.add(layer, x, weight=scale, bias=bias)


_LEARNT = ((1, "scale"), (2, "bias"))


def layer_norm(call: NodeCall) -> Flow:
    """Read a LayerNormalization over the channels of each pixel, which must be the last axis, or of a vector."""
    x = call.flow()
    last = len(x.view) - 1
    if len(x.view) == 2:
        x = call.vector(x)
    if call.axis(call.attribute("axis", -1), len(x.view)) != last or call.channel_axis(x) != last:
        raise Unsupported("a normalization over the last axis is read, where that holds the channels")
    if any(call.node.outputs[1:]):
        raise Unsupported("its mean and deviation, further outputs, are not read")
    count = channels_of(x.shape)
    scale = call.ordered(x, _row(call, 1, "scale", count))
    bias = np.zeros(count, np.float32) if call.input(2) is None else call.ordered(x, _row(call, 2, "bias", count))
    return call.add(LayerNorm2d(call.attribute("epsilon", 1e-5)), x, weight=scale, bias=bias)


def local_response(call: NodeCall) -> Flow:
    """Read an LRN of an odd number of channels; of an even one, ONNX has the odd channel on the other side."""
    x = call.image(call.flow())
    assert isinstance(x.shape, ImageShape)
    size = call.attribute("size", 0)
    if size % 2 == 0:
        raise Unsupported(f"a window of an even number of channels, {size}, is not read")
    settings = [call.attribute(*entry) for entry in (("alpha", 1e-4), ("beta", 0.75), ("bias", 1.0))]
    return call.add(LocalResponseNorm(size, *settings), x)


RULES = {
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LRN": local_response,
    "LayerNormalization": layer_norm,
}
