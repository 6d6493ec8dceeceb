"""Convolutions and matrix products: what multiplies by weights."""

from __future__ import annotations

import numpy as np

from neocog.interop.onnx.call import NodeCall, Unsupported
from neocog.interop.onnx.parts import Floats, Flow
from neocog.interop.onnx.reading.windows import pads_of, pair_of, tidy
from neocog.interop.onnx.tensors import AnyArray
from neocog.nn.layers import Concatenate, Conv2d, ConvTranspose2d, Linear, Slice
from neocog.nn.shapes import ImageShape
from neocog.nn.window import Sides

MOST_GROUPS = 64
"""Of a transposed convolution, each of which becomes a layer."""


def floats(values: AnyArray) -> Floats:
    """Return a constant as float32, or as float64 where it is that; others are no weights."""
    if not np.issubdtype(values.dtype, np.floating):
        raise Unsupported(f"its weights must be floating-point numbers, got {values.dtype}")
    return np.asarray(values, np.float64 if values.dtype == np.float64 else np.float32)


def _filters(call: NodeCall) -> Floats:
    """Return the weights of a convolution over images, as ONNX has them."""
    weight = floats(call.constant(1, "filters"))
    if weight.ndim != 4:
        raise Unsupported(f"convolutions of 2 dimensions are read, its filters have {weight.ndim - 2}")
    kernel = call.attribute("kernel_shape", ())
    if kernel and kernel != weight.shape[2:]:
        raise Unsupported(f"kernel_shape {list(kernel)} is not that of its filters, {list(weight.shape)}")
    return weight


def _bias(call: NodeCall, channels: int) -> Floats | None:
    bias = call.optional(2, "bias")
    if bias is not None and bias.shape != (channels,):
        raise Unsupported(f"its bias must be a row of {channels}, got {list(bias.shape)}")
    return None if bias is None else floats(bias)


def conv(call: NodeCall) -> Flow:
    """Read a Conv over images."""
    x, weight = call.image(call.flow()), _filters(call)
    assert isinstance(x.shape, ImageShape)
    groups = call.attribute("group", 1)
    if groups < 1 or weight.shape[1] * groups != x.shape.channels:
        raise Unsupported(
            f"filters over {weight.shape[1]} channels in {groups} groups do not fit the {x.shape.channels} that come"
        )
    kernel, dilation = weight.shape[2:], pair_of(call, "dilations", 1)
    stride = pair_of(call, "strides", 1)
    bias = _bias(call, weight.shape[0])
    layer = Conv2d(
        weight.shape[0],
        tidy(kernel),
        tidy(stride),
        tidy(pads_of(call, x.shape, kernel, stride, dilation)),
        tidy(dilation),
        bias is not None,
        groups,
    )
    return call.add(layer, x, weight=weight.transpose(2, 3, 1, 0), bias=bias)


def conv_transpose(call: NodeCall) -> Flow:
    """Read a ConvTranspose over images. Of several groups each becomes a layer, over its own channels."""
    x, weight = call.image(call.flow()), _filters(call)
    assert isinstance(x.shape, ImageShape)
    groups, channels = call.attribute("group", 1), x.shape.channels
    if not 1 <= groups <= MOST_GROUPS:
        raise Unsupported(f"transposed convolutions in {groups} groups are not read, up to {MOST_GROUPS} are")
    if weight.shape[0] != channels or channels % groups:
        raise Unsupported(
            f"filters over {weight.shape[0]} channels in {groups} groups do not fit the {channels} that come"
        )
    kernel, stride, dilation = weight.shape[2:], pair_of(call, "strides", 1), pair_of(call, "dilations", 1)
    padding, more = _cut_off(call, x.shape, kernel, stride, dilation)
    bias = _bias(call, weight.shape[1] * groups)
    each = weight.shape[1]
    layer = ConvTranspose2d(
        each, tidy(kernel), tidy(stride), tidy(padding), tidy(more), bias is not None, tidy(dilation)
    )
    memory = weight.transpose(2, 3, 1, 0)
    if groups == 1:
        return call.add(layer, x, weight=memory, bias=bias)
    runs = [slice(group * channels // groups, (group + 1) * channels // groups) for group in range(groups)]
    parts = [
        call.add(
            layer,
            call.add(Slice(run.start, run.stop), x),
            weight=memory[..., run],
            bias=None if bias is None else bias[group * each : (group + 1) * each],
        )
        for group, run in enumerate(runs)
    ]
    return call.add(Concatenate(), *parts)


def _cut_off(
    call: NodeCall, x: ImageShape, kernel: tuple[int, ...], stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[Sides, tuple[int, int]]:
    """Return what a transposed convolution cuts off, ((top, bottom), (left, right)), and its output_padding."""
    more, sides = pair_of(call, "output_padding", 0), (x.height, x.width)
    automatic, given = call.attribute("auto_pad", "NOTSET"), call.attribute("output_shape", ())
    if given and len(given) != 2:
        raise Unsupported("its output_shape must have 2 sides")
    if not given and automatic in ("NOTSET", "VALID"):
        flat = call.attribute("pads", (0, 0, 0, 0)) if automatic == "NOTSET" else (0, 0, 0, 0)
        return ((flat[0], flat[2]), (flat[1], flat[3])), more
    wanted = given or tuple(side * step for side, step in zip(sides, stride, strict=True))
    cut, added = [], []
    for axis in (0, 1):
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        total = stride[axis] * (sides[axis] - 1) + more[axis] + reach - wanted[axis]
        added.append(more[axis] + max(0, -total))  # there may be less than is wanted
        less, rest = max(0, total) // 2, (max(0, total) + 1) // 2
        cut.append((less, rest) if automatic == "SAME_UPPER" else (rest, less))
    return (cut[0], cut[1]), (added[0], added[1])


def linear(call: NodeCall, x: Flow, weight: Floats, bias: Floats | None) -> Flow:
    """Add a Linear for a matrix (inputs, outputs), whose rows are in ONNX's order."""
    x = call.vector(x)
    if weight.shape[0] != x.shape.size:
        raise Unsupported(f"a matrix of {weight.shape[0]} rows does not fit the {x.shape.size} values that come")
    if x.order is not None:
        placed = np.empty_like(weight)
        placed[x.order] = weight
        weight = placed
    return call.add(Linear(weight.shape[1], bias is not None), x, weight=weight, bias=bias)


def gemm(call: NodeCall) -> Flow:
    """Read a Gemm whose second factor is a constant."""
    x, weight = call.flow(), floats(call.constant(1, "matrix"))
    if call.attribute("transA", 0):
        raise Unsupported("a first factor that is transposed mixes images")
    if weight.ndim != 2:
        raise Unsupported(f"its matrix must have 2 dimensions, got {weight.ndim}")
    weight = weight.T if call.attribute("transB", 0) else weight
    bias, alpha, beta = call.optional(2, "bias"), call.attribute("alpha", 1.0), call.attribute("beta", 1.0)
    if alpha != 1.0:
        weight = weight * np.float32(alpha)
    row = None
    if bias is not None:
        if (
            bias.ndim > 2
            or (bias.ndim == 2 and bias.shape[0] != 1)
            or bias.shape[-1:] not in ((), (1,), weight.shape[1:])
        ):
            raise Unsupported(f"a constant of the shape {list(bias.shape)} is not one value an output")
        row = np.broadcast_to(floats(bias).reshape(-1) * np.float32(beta), weight.shape[1:])
    return linear(call, x, weight, row)


def matmul(call: NodeCall) -> Flow:
    """Read a MatMul by a constant: a Linear, or, of images with channels last, a convolution of 1 × 1."""
    x, weight = call.flow(), floats(call.constant(1, "second factor"))
    if weight.ndim != 2:
        raise Unsupported(f"its second factor must have 2 dimensions, got {weight.ndim}")
    if len(x.view) == 2:
        return linear(call, x, weight, None)
    last = len(x.view) - 1
    if not isinstance(x.shape, ImageShape) or call.channel_axis(x) != last or weight.shape[0] != x.shape.channels:
        raise Unsupported(f"a product of {list(x.dims)} and {list(weight.shape)} is none of vectors, nor of pixels")
    return pixelwise(call, x, weight)


def pixelwise(call: NodeCall, x: Flow, weight: Floats) -> Flow:
    """Add a convolution of 1 × 1 for images that ONNX sees with channels on the last axis."""
    result = call.add(Conv2d(weight.shape[1], 1, bias=False), x, weight=weight[None, None])
    channels = result.plain[1]
    return Flow(result.value, result.shape, (*x.view[:-1], channels))


RULES = {"Conv": conv, "ConvTranspose": conv_transpose, "Gemm": gemm, "MatMul": matmul}
