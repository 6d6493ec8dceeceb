"""Convolutions and matrix products: what multiplies by weights."""

from __future__ import annotations

import numpy as np

from neocog.interop.onnx.call import NodeCall, Unsupported
from neocog.interop.onnx.parts import Floats, Flow
from neocog.interop.onnx.reading.windows import pads_of, pair_of, tidy
from neocog.interop.onnx.tensors import AnyArray
from neocog.nn.layers import Conv2d, ConvTranspose2d, Linear
from neocog.nn.shapes import ImageShape


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
    """Read a ConvTranspose over images, of one group and without dilation."""
    x, weight = call.image(call.flow()), _filters(call)
    assert isinstance(x.shape, ImageShape)
    if call.attribute("group", 1) != 1:
        raise Unsupported("transposed convolutions in groups are not read")
    if pair_of(call, "dilations", 1) != (1, 1):
        raise Unsupported("transposed convolutions with dilation are not read")
    if weight.shape[0] != x.shape.channels:
        raise Unsupported(f"filters over {weight.shape[0]} channels do not fit the {x.shape.channels} that come")
    kernel, stride, more = weight.shape[2:], pair_of(call, "strides", 1), pair_of(call, "output_padding", 0)
    sides = (x.shape.height, x.shape.width)
    automatic, given = call.attribute("auto_pad", "NOTSET"), call.attribute("output_shape", ())
    if given and len(given) != 2:
        raise Unsupported("its output_shape must have 2 sides")
    if given or automatic.startswith("SAME"):
        wanted = given or tuple(side * step for side, step in zip(sides, stride, strict=True))
        pads = []
        for axis in (0, 1):
            total = stride[axis] * (sides[axis] - 1) + more[axis] + kernel[axis] - wanted[axis]
            less, rest = total // 2, total - total // 2
            pads.append((less, rest) if automatic == "SAME_UPPER" else (rest, less))
    elif automatic == "VALID":
        pads = [(0, 0), (0, 0)]
    else:
        flat = call.attribute("pads", (0, 0, 0, 0))
        pads = [(flat[0], flat[2]), (flat[1], flat[3])]
    # What is cut off less behind than before is what neocog, as PyTorch, calls output_padding.
    cut, added = zip(
        *((before, before - after + m) for (before, after), m in zip(pads, more, strict=True)), strict=True
    )
    if min(added) < 0:
        raise Unsupported(f"it cuts off more behind than before, {pads}, which no layer does")
    bias = _bias(call, weight.shape[1])
    layer = ConvTranspose2d(weight.shape[1], tidy(kernel), tidy(stride), tidy(cut), tidy(added), bias is not None)
    return call.add(layer, x, weight=weight.transpose(2, 3, 1, 0), bias=bias)


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
