"""Poolings: of windows, and of all pixels."""

from __future__ import annotations

from neocog.interop.onnx.call import NodeCall, Unsupported, shrunk
from neocog.interop.onnx.constants import axes_of
from neocog.interop.onnx.parts import Flow
from neocog.interop.onnx.reading.windows import pads_of, pair_of, tidy
from neocog.interop.onnx.views import View
from neocog.nn.layers import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Sides


def _window(call: NodeCall, x: ImageShape) -> tuple[tuple[int, int], tuple[int, int], Sides, bool]:
    """Return window, stride, padding and whether the last window may reach beyond it."""
    kernel = call.attribute("kernel_shape", ())
    if len(kernel) != 2:
        raise Unsupported(f"windows of 2 dimensions are read, its kernel_shape is {list(kernel)}")
    dilation, stride = pair_of(call, "dilations", 1), pair_of(call, "strides", 1)
    if any(step != 1 and side > 1 for step, side in zip(dilation, kernel, strict=True)):
        raise Unsupported("poolings with dilation are not read")
    return (
        (kernel[0], kernel[1]),
        stride,
        pads_of(call, x, kernel, stride, (1, 1)),
        bool(call.attribute("ceil_mode", 0)),
    )


def max_pool(call: NodeCall) -> Flow:
    """Read a MaxPool; where its largest values were is not read."""
    if len(call.node.outputs) > 1 and call.node.outputs[1]:
        raise Unsupported("where its largest values were, its second output, is not read")
    x = call.image(call.flow())
    assert isinstance(x.shape, ImageShape)
    window, stride, padding, ceil = _window(call, x.shape)
    return call.add(MaxPool2d(tidy(window), tidy(stride), tidy(padding), ceil), x)


def average_pool(call: NodeCall) -> Flow:
    """Read an AveragePool."""
    x = call.image(call.flow())
    assert isinstance(x.shape, ImageShape)
    window, stride, padding, ceil = _window(call, x.shape)
    counted = bool(call.attribute("count_include_pad", 0)) or padding == ((0, 0), (0, 0))
    return call.add(AvgPool2d(tidy(window), tidy(stride), tidy(padding), ceil, counted), x)


def global_average(call: NodeCall) -> Flow:
    """Read a GlobalAveragePool."""
    x = call.image(call.flow())
    return call.add(AdaptiveAvgPool2d(1), x, view=shrunk(x))


def global_max(call: NodeCall) -> Flow:
    """Read a GlobalMaxPool: a window of the whole image."""
    x = call.image(call.flow())
    assert isinstance(x.shape, ImageShape)
    return call.add(MaxPool2d(tidy((x.shape.height, x.shape.width))), x, view=shrunk(x))


def _reduced(call: NodeCall) -> tuple[Flow, View]:
    """Return what a reduction over all pixels takes, and how ONNX sees what it gives."""
    x = call.flow()
    if not isinstance(x.shape, ImageShape):
        raise Unsupported("reductions over the pixels of an image are read, and a vector comes to it")
    axes = axes_of(call, 1, len(x.view), 18)
    gone = sorted(factor for axis in axes or () for factor in x.view[axis])
    pixels = sorted(factor for axis in x.plain[2:] for factor in axis)
    if axes is None or gone != pixels:
        raise Unsupported(f"reductions over all pixels are read, over axes (2, 3), got {axes}")
    kept = shrunk(x)
    if not call.attribute("keepdims", 1):
        kept = tuple(axis for place, axis in enumerate(kept) if place not in axes)
    return x, kept


def reduce_mean(call: NodeCall) -> Flow:
    """Read a ReduceMean over all pixels."""
    x, view = _reduced(call)
    return call.add(AdaptiveAvgPool2d(1), x, view=view)


def reduce_max(call: NodeCall) -> Flow:
    """Read a ReduceMax over all pixels."""
    x, view = _reduced(call)
    assert isinstance(x.shape, ImageShape)
    return call.add(MaxPool2d(tidy((x.shape.height, x.shape.width))), x, view=view)


RULES = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average,
    "GlobalMaxPool": global_max,
    "MaxPool": max_pool,
    "ReduceMax": reduce_max,
    "ReduceMean": reduce_mean,
}
