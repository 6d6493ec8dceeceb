"""Normalization of the channels of each pixel: sums over channels, and what follows from them."""

from __future__ import annotations

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.channels import (
    Pixel,
    PlanePixel,
    across_lanes,
    each_pixel,
    keep_lanes,
    read_pixel,
    reduce_channels,
)
from neocog.emit.emitter import Emitters
from neocog.plan.ops.pixel_norm import PixelGradient, PixelStatistics


def emit_pixel_statistics(
    b: Builder, addresses: Addresses, stage: PixelStatistics, low: IrValue, high: IrValue
) -> None:
    """Write mean and 1 / √(variance + ε) of each pixel: two walks over its channels, so that nothing cancels."""
    channels, zero = stage.x.channels, b.splat(0.0)
    with each_pixel(b, stage.x, low, high) as place:
        x = read_pixel(b, addresses, stage.x, place)
        mean, inverse = (Pixel.of(b, addresses, tensor, place) for tensor in (stage.mean, stage.inverse))

        def add(first: Index, count: int, total: IrValue, x: Pixel | PlanePixel = x) -> IrValue:
            return b.ir.fadd(total, x.load(first, count))

        total = across_lanes(b, reduce_channels(b, channels, zero, add), b.ir.fadd)
        average = b.ir.fdiv(total, b.splat(-float(channels)))

        def add_square(
            first: Index, count: int, total: IrValue, x: Pixel | PlanePixel = x, average: IrValue = average
        ) -> IrValue:
            away = keep_lanes(b, b.ir.fadd(x.load(first, count), average), count, 0.0)
            return b.multiply_add(away, away, total)

        total = across_lanes(b, reduce_channels(b, channels, zero, add_square), b.ir.fadd)
        variance = b.ir.fdiv(total, b.splat(float(channels)))
        root = b.intrinsic("llvm.sqrt", b.vector, b.ir.fadd(variance, b.splat(stage.epsilon)))
        b.store(average, mean.address)
        b.store(b.ir.fdiv(b.splat(1.0), root), inverse.address)


def emit_pixel_gradient(b: Builder, addresses: Addresses, stage: PixelGradient, low: IrValue, high: IrValue) -> None:
    """Write slope and offset of the gradient of each pixel, from sums over its channels."""
    channels, zero = stage.x.channels, b.splat(0.0)
    weight = None if stage.weight is None else Pixel(b, addresses.operand(stage.weight), channels)
    with each_pixel(b, stage.x, low, high) as place:
        g, x = (read_pixel(b, addresses, tensor, place) for tensor in (stage.g, stage.x))
        numbers = (stage.mean, stage.inverse, stage.slope, stage.offset)
        mean, inverse, slope, offset = (Pixel.of(b, addresses, tensor, place) for tensor in numbers)
        average, scale = b.load(mean.address), b.load(inverse.address)

        def scaled(first: Index, count: int, g: Pixel | PlanePixel = g) -> IrValue:
            values = g.load(first, count)
            return values if weight is None else b.ir.fmul(values, weight.load(first, count))

        def add(first: Index, count: int, total: IrValue) -> IrValue:
            return b.ir.fadd(total, scaled(first, count))

        def add_product(
            first: Index, count: int, total: IrValue, x: Pixel | PlanePixel = x, average: IrValue = average
        ) -> IrValue:
            away = b.ir.fadd(x.load(first, count), average)
            return b.multiply_add(scaled(first, count), away, total)  # g is 0 past the channels

        plain, moved = (
            across_lanes(b, reduce_channels(b, channels, zero, step), b.ir.fadd) for step in (add, add_product)
        )
        share = b.ir.fdiv(scale, b.splat(-float(channels)))
        b.store(b.ir.fmul(b.ir.fmul(share, b.ir.fmul(scale, scale)), moved), slope.address)
        b.store(b.ir.fmul(share, plain), offset.address)


EMITTERS: Emitters = {PixelStatistics: emit_pixel_statistics, PixelGradient: emit_pixel_gradient}
