"""Normalization of the channels of each pixel: sums over channels, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.channels import (
    Pixel,
    Place,
    across_lanes,
    each_pixel,
    keep_lanes,
    lanes_of_each,
    read_pixel,
    reduce_channels,
    reduce_several,
    spread_lanes,
)
from neocog.emit.emitter import Emitters
from neocog.plan.blocked import Blocked
from neocog.plan.layout import Tensor
from neocog.plan.ops.pixel_norm import PixelGradient, PixelStatistics


def emit_pixel_statistics(
    b: Builder, addresses: Addresses, stage: PixelStatistics, low: IrValue, high: IrValue
) -> None:
    """Write mean and 1 / √(variance + ε) of each pixel: two walks over its channels, so that nothing cancels."""
    if isinstance(stage.x, Blocked):
        for places in _several(b, stage.x, low, high):
            _statistics_of(b, addresses, stage, places)
        return
    channels, zero = stage.x.channels, b.splat(0.0)
    with each_pixel(b, stage.x, low, high) as place:
        x, mean, inverse = (Pixel.of(b, addresses, tensor, place) for tensor in (stage.x, stage.mean, stage.inverse))

        def add(first: Index, count: int, total: IrValue, x: Pixel = x) -> IrValue:
            return b.ir.fadd(total, x.load(first, count))

        total = across_lanes(b, reduce_channels(b, channels, zero, add), b.ir.fadd)
        average = b.ir.fdiv(total, b.splat(-float(channels)))

        def add_square(first: Index, count: int, total: IrValue, x: Pixel = x, average: IrValue = average) -> IrValue:
            away = keep_lanes(b, b.ir.fadd(x.load(first, count), average), count, 0.0)
            return b.multiply_add(away, away, total)

        total = across_lanes(b, reduce_channels(b, channels, zero, add_square), b.ir.fadd)
        variance = b.ir.fdiv(total, b.splat(float(channels)))
        root = b.intrinsic("llvm.sqrt", b.vector, b.ir.fadd(variance, b.splat(stage.epsilon)))
        b.store(average, mean.address)
        b.store(b.ir.fdiv(b.splat(1.0), root), inverse.address)


def emit_pixel_gradient(b: Builder, addresses: Addresses, stage: PixelGradient, low: IrValue, high: IrValue) -> None:
    """Write slope and offset of the gradient of each pixel, from sums over its channels."""
    if isinstance(stage.x, Blocked) or isinstance(stage.g, Blocked):
        for places in _several(b, stage.x, low, high):
            _gradient_of(b, addresses, stage, places)
        return
    channels, zero = stage.x.channels, b.splat(0.0)
    weight = None if stage.weight is None else Pixel(b, addresses.operand(stage.weight), channels)
    with each_pixel(b, stage.x, low, high) as place:
        tensors = (stage.g, stage.x, stage.mean, stage.inverse, stage.slope, stage.offset)
        g, x, mean, inverse, slope, offset = (Pixel.of(b, addresses, tensor, place) for tensor in tensors)
        average, scale = b.load(mean.address), b.load(inverse.address)

        def scaled(first: Index, count: int, g: Pixel = g) -> IrValue:
            values = g.load(first, count)
            return values if weight is None else b.ir.fmul(values, weight.load(first, count))

        def add(first: Index, count: int, total: IrValue) -> IrValue:
            return b.ir.fadd(total, scaled(first, count))

        def add_product(first: Index, count: int, total: IrValue, x: Pixel = x, average: IrValue = average) -> IrValue:
            away = b.ir.fadd(x.load(first, count), average)
            return b.multiply_add(scaled(first, count), away, total)  # g is 0 past the channels

        plain, moved = (
            across_lanes(b, reduce_channels(b, channels, zero, step), b.ir.fadd) for step in (add, add_product)
        )
        share = b.ir.fdiv(scale, b.splat(-float(channels)))
        b.store(b.ir.fmul(b.ir.fmul(share, b.ir.fmul(scale, scale)), moved), slope.address)
        b.store(b.ir.fmul(share, plain), offset.address)


def _several(b: Builder, shape: Tensor, low: IrValue, high: IrValue) -> Iterator[list[Place]]:
    """Loop over the pixels of rows low ≤ item < high, some of a row at a time.

    Of bfloat16 there is less to load, and what follows from sums takes most of the time: it is computed for several
    pixels at once, one in each lane. Their sums, and what they are compared with, take the registers that there are.
    """
    together = b.lanes // 2
    whole, rest = divmod(shape.width, together)
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, shape.height)
        if whole:
            with b.loop(0, whole) as (group, _):
                first = b.mul(group, together)
                yield [(image, row, b.add(first, number)) for number in range(together)]
        if rest:
            yield [(image, row, whole * together + number) for number in range(rest)]


def _statistics_of(b: Builder, addresses: Addresses, stage: PixelStatistics, places: list[Place]) -> None:
    channels, zeros = stage.x.channels, [b.splat(0.0)] * len(places)
    pixels = [read_pixel(b, addresses, stage.x, place) for place in places]

    def add(first: Index, count: int, totals: Sequence[IrValue]) -> Sequence[IrValue]:
        return [b.ir.fadd(total, x.load(first, count)) for total, x in zip(totals, pixels, strict=True)]

    total = lanes_of_each(b, reduce_several(b, channels, zeros, add), b.ir.fadd)
    averages = spread_lanes(b, b.ir.fdiv(total, b.splat(-float(channels))), len(places))

    def add_squares(first: Index, count: int, totals: Sequence[IrValue]) -> Sequence[IrValue]:
        away = [b.ir.fadd(x.load(first, count), average) for x, average in zip(pixels, averages, strict=True)]
        away = [keep_lanes(b, values, count, 0.0) for values in away]
        return [b.multiply_add(values, values, total) for values, total in zip(away, totals, strict=True)]

    total = lanes_of_each(b, reduce_several(b, channels, zeros, add_squares), b.ir.fadd)
    variance = b.ir.fdiv(total, b.splat(float(channels)))
    root = b.intrinsic("llvm.sqrt", b.vector, b.ir.fadd(variance, b.splat(stage.epsilon)))
    _store_each(b, addresses, stage.mean, places, averages)
    _store_each(b, addresses, stage.inverse, places, spread_lanes(b, b.ir.fdiv(b.splat(1.0), root), len(places)))


def _gradient_of(b: Builder, addresses: Addresses, stage: PixelGradient, places: list[Place]) -> None:
    channels, count_ = stage.x.channels, len(places)
    weight = None if stage.weight is None else Pixel(b, addresses.operand(stage.weight), channels)
    gs, xs = ([read_pixel(b, addresses, tensor, place) for place in places] for tensor in (stage.g, stage.x))
    averages, scales = (
        [b.load(Pixel.of(b, addresses, tensor, place).address) for place in places]
        for tensor in (stage.mean, stage.inverse)
    )

    def add(first: Index, count: int, totals: Sequence[IrValue]) -> Sequence[IrValue]:
        scaled = [g.load(first, count) for g in gs]
        if weight is not None:
            scaled = [b.ir.fmul(values, weight.load(first, count)) for values in scaled]
        away = [b.ir.fadd(x.load(first, count), average) for x, average in zip(xs, averages, strict=True)]
        plain = map(b.ir.fadd, totals[:count_], scaled)
        return [*plain, *map(b.multiply_add, scaled, away, totals[count_:])]  # g is 0 past the channels

    totals = reduce_several(b, channels, [b.splat(0.0)] * (2 * count_), add)
    plain, moved = (lanes_of_each(b, part, b.ir.fadd) for part in (totals[:count_], totals[count_:]))
    scale = lanes_of_each(b, scales, lambda same, _: same)
    share = b.ir.fdiv(scale, b.splat(-float(channels)))
    slope = b.ir.fmul(b.ir.fmul(share, b.ir.fmul(scale, scale)), moved)
    for tensor, number in ((stage.slope, slope), (stage.offset, b.ir.fmul(share, plain))):
        _store_each(b, addresses, tensor, places, spread_lanes(b, number, count_))


def _store_each(
    b: Builder, addresses: Addresses, tensor: Tensor, places: list[Place], values: Sequence[IrValue]
) -> None:
    """Write a vector for each of some pixels of a tensor of float32."""
    for place, value in zip(places, values, strict=True):
        b.store(value, Pixel.of(b, addresses, tensor, place).address)


EMITTERS: Emitters = {PixelStatistics: emit_pixel_statistics, PixelGradient: emit_pixel_gradient}
