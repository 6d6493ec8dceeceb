"""Softmax over the channels of each pixel, forward and backward."""

from __future__ import annotations

import math

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.channels import Pixel, across_lanes, each_pixel, each_vector, keep_lanes, reduce_channels
from neocog.emit.emitter import Emitters
from neocog.emit.vector_math import exp
from neocog.plan.ops.softmax import SoftmaxBackward, SoftmaxForward


def emit_softmax(b: Builder, addresses: Addresses, stage: SoftmaxForward, low: IrValue, high: IrValue) -> None:
    """Write y = exp(x - max x) / Σ exp(x - max x) for rows of images."""
    channels = stage.y.channels

    def larger(x: IrValue, y: IrValue) -> IrValue:
        return b.ir.select(b.ir.fcmp_ordered(">", x, y), x, y)

    with each_pixel(b, stage.y, low, high) as place:
        x, y = (Pixel.of(b, addresses, tensor, place) for tensor in (stage.x, stage.y))

        def compare(first: Index, count: int, top: IrValue, x: Pixel = x) -> IrValue:
            return larger(keep_lanes(b, x.load(first, count), count, -math.inf), top)

        top = across_lanes(b, reduce_channels(b, channels, b.splat(-math.inf), compare), larger)

        def add(first: Index, count: int, total: IrValue, x: Pixel = x, y: Pixel = y, top: IrValue = top) -> IrValue:
            power = exp(b, b.ir.fsub(x.load(first, count), top))
            power = keep_lanes(b, power, count, 0.0)
            y.store(power, first)
            return b.ir.fadd(total, power)

        total = across_lanes(b, reduce_channels(b, channels, b.splat(0.0), add), b.ir.fadd)
        scale = b.ir.fdiv(b.splat(1.0), total)

        def divide(first: Index, count: int, y: Pixel = y, scale: IrValue = scale) -> None:
            share = b.ir.fmul(y.load(first, count), scale)
            y.store(keep_lanes(b, share, count, 0.0), first)  # 0 · NaN is no zero

        each_vector(b, channels, divide)


def emit_softmax_backward(
    b: Builder, addresses: Addresses, stage: SoftmaxBackward, low: IrValue, high: IrValue
) -> None:
    """Write dx = y (dy - Σ dy y) for rows of images."""
    channels = stage.dx.channels
    with each_pixel(b, stage.dx, low, high) as place:
        y, dy, dx = (Pixel.of(b, addresses, tensor, place) for tensor in (stage.y, stage.dy, stage.dx))

        def add(first: Index, count: int, total: IrValue, y: Pixel = y, dy: Pixel = dy) -> IrValue:
            return b.multiply_add(y.load(first, count), dy.load(first, count), total)

        total = across_lanes(b, reduce_channels(b, channels, b.splat(0.0), add), b.ir.fadd)

        def write(
            first: Index, count: int, y: Pixel = y, dy: Pixel = dy, dx: Pixel = dx, total: IrValue = total
        ) -> None:
            value = b.ir.fmul(y.load(first, count), b.ir.fsub(dy.load(first, count), total))
            dx.store(keep_lanes(b, value, count, 0.0), first)

        each_vector(b, channels, write)


EMITTERS: Emitters = {SoftmaxForward: emit_softmax, SoftmaxBackward: emit_softmax_backward}
