"""Normalization: sums over pixels, and what follows from them channel by channel, in double precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from llvmlite import ir

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.builder import F32, I64, Builder, Index, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.half import element, load_from, load_one_from, vector_of
from neocog.emit.slots import COUNT_SLOT
from neocog.emit.sums import left_before, over_channels, over_pixels
from neocog.plan.layout import Operand, Tensor
from neocog.plan.ops.norm import (
    INVERSE,
    MEAN,
    OFFSET,
    SCALE,
    SHIFT,
    SLOPE,
    BatchStatistics,
    FrozenStatistics,
    GroupGradient,
    GroupStatistics,
    Moments,
    NormGradient,
)
from neocog.plan.ops.sync_norm import SliceMoments

F64 = ir.DoubleType()


def double(value: float) -> ir.Constant:
    """Return a constant in double precision."""
    return ir.Constant(F64, value)


def load_double(b: Builder, base: IrValue, place: Index) -> IrValue:
    """Load a float32 as a double."""
    return b.ir.fpext(b.load_scalar(base, place), F64)


def store_double(b: Builder, addresses: Addresses, value: IrValue, operand: Operand, place: Index) -> None:
    """Store a double as a float32."""
    b.store_scalar(b.ir.fptrunc(value, F32), addresses.operand(operand), place)


def _count(b: Builder, addresses: Addresses, pixels: int) -> IrValue:
    """Return the number of values of a channel in the whole batch."""
    return b.ir.fmul(b.ir.sitofp(addresses.argument(COUNT_SLOT, I64), F64), double(float(pixels)))


def emit_moments(b: Builder, addresses: Addresses, stage: Moments, low: IrValue, high: IrValue) -> None:
    """Write the sums of x - pivot and its square over a block of images."""
    x, out = addresses.tensor(stage.x), addresses.operand(stage.out)
    count = b.sub(addresses.argument(COUNT_SLOT, I64), addresses.first_image)
    images = b.maximum(0, b.minimum(count, stage.x.images))

    def body(channel: Index, last: bool) -> None:
        there = vector_of(b, stage.x, 0, channel)
        first = load_from(b, stage.x, x, there)
        if addresses.block is not None:
            first = b.ir.select(b.less(addresses.block.number, 1), first, b.load(out, channel))

        def at(image: Index, row: Index, column: Index) -> list[IrValue]:
            away = b.ir.fsub(load_from(b, stage.x, x, b.add(pixel(b, stage.x, image, row, column), there)), first)
            return [away, b.ir.fmul(away, away)]

        totals = over_pixels(b, stage.x, images, 2, at)
        b.store(first, out, channel)
        for number, total in enumerate(totals, 1):
            place = b.add(channel, number * stage.step)
            b.store(b.ir.fadd(left_before(b, addresses, out, place), total), out, place)

    over_channels(b, stage.x, body)


def emit_statistics(b: Builder, addresses: Addresses, stage: BatchStatistics, low: IrValue, high: IrValue) -> None:
    """Write mean, variance and what follows from them, from the moments of all slices."""
    for channel, mean, away, total in moments_of(b, addresses, stage):
        follow_statistics(b, addresses, stage, channel, mean, away, total)


def moments_of(
    b: Builder, addresses: Addresses, stage: BatchStatistics | SliceMoments
) -> Iterator[tuple[IrValue, IrValue, IrValue, IrValue]]:
    """Loop over channels: yield a channel, mean and Σ (x - mean)² over all slices, and how many values these are."""
    moments, step = addresses.operand(stage.moments), stage.step
    count = addresses.argument(COUNT_SLOT, I64)
    total = _count(b, addresses, stage.pixels)
    numbers = []
    for slice_ in range(stage.slices.count):
        first, behind = stage.slices.first_image(slice_), stage.slices.first_image(slice_ + 1)
        images = b.maximum(0, b.minimum(b.sub(count, first), behind - first))
        numbers.append(b.ir.fmul(b.ir.sitofp(b.index(images), F64), double(float(stage.pixels))))
    with b.loop(0, stage.channels) as (channel, _):
        pivots, sums, squares = (
            [
                load_double(b, moments, b.add(channel, (3 * slice_ + which) * step))
                for slice_ in range(stage.slices.count)
            ]
            for which in range(3)
        )
        mean = double(0.0)
        for number, pivot, added in zip(numbers, pivots, sums, strict=True):
            mean = b.ir.fadd(mean, b.ir.fadd(b.ir.fmul(number, pivot), added))
        mean = b.ir.fdiv(mean, total)
        away = double(0.0)  # Σ (x - mean)²
        for number, pivot, added, square in zip(numbers, pivots, sums, squares, strict=True):
            far = b.ir.fsub(pivot, mean)
            both = b.ir.fadd(b.ir.fmul(double(2.0), added), b.ir.fmul(number, far))
            away = b.ir.fadd(away, b.ir.fadd(square, b.ir.fmul(far, both)))
        away = b.ir.select(b.ir.fcmp_ordered("<", away, double(0.0)), double(0.0), away)
        yield channel, mean, away, total


def follow_statistics(
    b: Builder,
    addresses: Addresses,
    stage: BatchStatistics,
    channel: Index,
    mean: IrValue,
    away: IrValue,
    total: IrValue,
) -> None:
    """Write what follows for a channel from its mean and Σ (x - mean)² over so many values: what a normalization needs,
    and the running averages.
    """
    _store_statistics(b, addresses, stage, channel, mean, b.ir.fdiv(away, total))
    fewer = b.ir.fsub(total, double(1.0))
    fewer = b.ir.select(b.ir.fcmp_ordered("<", fewer, double(1.0)), double(1.0), fewer)
    for operand, value in ((stage.mean, mean), (stage.variance, b.ir.fdiv(away, fewer))):
        before = load_double(b, addresses.operand(operand), channel)
        after = b.ir.fadd(before, b.ir.fmul(double(stage.momentum), b.ir.fsub(value, before)))
        store_double(b, addresses, after, operand, channel)


def _store_statistics(
    b: Builder,
    addresses: Addresses,
    stage: BatchStatistics | FrozenStatistics,
    channel: Index,
    mean: IrValue,
    variance: IrValue,
) -> None:
    """Write what a normalization needs of a channel's mean and variance."""
    root = b.intrinsic("llvm.sqrt", F64, b.ir.fadd(variance, double(stage.epsilon)))
    inverse = b.ir.fdiv(double(1.0), root)
    weight = double(1.0) if stage.weight is None else load_double(b, addresses.operand(stage.weight), channel)
    bias = double(0.0) if stage.bias is None else load_double(b, addresses.operand(stage.bias), channel)
    values = {MEAN: mean, INVERSE: inverse, SCALE: b.ir.fmul(weight, inverse), SHIFT: bias}
    for which, value in values.items():
        store_double(b, addresses, value, stage.out, b.add(channel, which * stage.step))


def emit_frozen_statistics(
    b: Builder, addresses: Addresses, stage: FrozenStatistics, low: IrValue, high: IrValue
) -> None:
    """Write what follows from running averages."""
    mean, variance = addresses.operand(stage.mean), addresses.operand(stage.variance)
    with b.loop(0, stage.channels) as (channel, _):
        values = (load_double(b, operand, channel) for operand in (mean, variance))
        _store_statistics(b, addresses, stage, channel, *values)


def emit_norm_gradient(b: Builder, addresses: Addresses, stage: NormGradient, low: IrValue, high: IrValue) -> None:
    """Write slope and offset of the input's gradient, and the gradients of γ and β, from the sums of all slices."""
    sums, statistics, step = addresses.operand(stage.sums), addresses.operand(stage.statistics), stage.step
    total = _count(b, addresses, stage.pixels)
    with b.loop(0, stage.channels) as (channel, _):
        plain, moved = double(0.0), double(0.0)
        for slice_ in range(stage.slices):
            plain = b.ir.fadd(plain, load_double(b, sums, b.add(channel, 2 * slice_ * step)))
            moved = b.ir.fadd(moved, load_double(b, sums, b.add(channel, (2 * slice_ + 1) * step)))
        inverse = load_double(b, statistics, b.add(channel, INVERSE * step))
        scale = load_double(b, statistics, b.add(channel, SCALE * step))
        if stage.out is not None:
            store_slope_and_offset(b, addresses, stage.out, (inverse, scale), step, channel, (plain, moved), total)
        if stage.weight is not None:
            store_double(b, addresses, b.ir.fmul(moved, inverse), stage.weight, channel)
        if stage.bias is not None:
            store_double(b, addresses, plain, stage.bias, channel)


def store_slope_and_offset(
    b: Builder,
    addresses: Addresses,
    out: Operand,
    statistics: tuple[IrValue, IrValue],
    step: int,
    channel: Index,
    sums: tuple[IrValue, IrValue],
    total: IrValue,
) -> None:
    """Write slope and offset of a channel, from 1 / √(variance + ε) and γ times that, and from Σ g and Σ g (x - mean)
    over so many values.
    """
    (inverse, scale), (plain, moved) = statistics, sums
    share = b.ir.fdiv(scale, total)
    slope = b.ir.fmul(b.ir.fmul(share, b.ir.fmul(inverse, inverse)), moved)
    for which, value in ((SLOPE, slope), (OFFSET, b.ir.fmul(share, plain))):
        store_double(b, addresses, b.ir.fsub(double(0.0), value), out, b.add(channel, which * step))


@dataclass(frozen=True, slots=True)
class _Image:
    """One image of a tensor, and where its pixels begin. What is read of it is float32, whatever it holds."""

    b: Builder
    tensor: Tensor
    base: IrValue

    @classmethod
    def of(cls, b: Builder, addresses: Addresses, tensor: Tensor, image: IrValue) -> _Image:
        """Return an image by its number."""
        return cls(b, tensor, b.at(addresses.tensor(tensor), b.mul(image, tensor.image_step), element(tensor)))

    def vector(self, channel: Index, row: Index = 0, column: Index = 0) -> IrValue:
        """Return a vector of channels of a pixel."""
        b, tensor = self.b, self.tensor
        return load_from(b, tensor, self.base, vector_of(b, tensor, pixel(b, tensor, 0, row, column), channel))

    def value(self, channel: Index) -> IrValue:
        """Return one channel of the first pixel, in double precision."""
        b, tensor = self.b, self.tensor
        return b.ir.fpext(load_one_from(b, tensor, self.base, vector_of(b, tensor, 0, channel)), F64)


def emit_group_statistics(
    b: Builder, addresses: Addresses, stage: GroupStatistics, low: IrValue, high: IrValue
) -> None:
    """Write the mean of each group of an image, and then what its variance gives: two walks over the pixels.

    The first walk adds up how far each channel is from its first pixel, the second the squares of how far it is from
    the mean, so that nothing cancels however large the mean is.
    """
    pixels = double(float(stage.x.height * stage.x.width))
    with b.loop(low, high) as (image, _):
        x, mean, inverse = (_Image.of(b, addresses, tensor, image) for tensor in (stage.x, stage.mean, stage.inverse))

        def from_first(channel: Index, row: Index, column: Index) -> list[IrValue]:
            return [b.ir.fsub(x.vector(channel, row, column), x.vector(channel))]

        def from_mean(channel: Index, row: Index, column: Index) -> list[IrValue]:
            away = b.ir.fadd(x.vector(channel, row, column), mean.vector(channel))
            return [b.ir.fmul(away, away)]

        _sum_pixels(x, from_first, [mean])
        for channels in _each_group(b, stage):
            total = _over_group(b, channels, lambda c: b.ir.fadd(b.ir.fmul(pixels, x.value(c)), mean.value(c)))
            _fill_group(channels, mean, b.ir.fdiv(total, double(-float(_group_size(stage)))))
        _sum_pixels(x, from_mean, [inverse])
        for channels in _each_group(b, stage):
            variance = b.ir.fdiv(_over_group(b, channels, inverse.value), double(float(_group_size(stage))))
            root = b.intrinsic("llvm.sqrt", F64, b.ir.fadd(variance, double(stage.epsilon)))
            _fill_group(channels, inverse, b.ir.fdiv(double(1.0), root))


def emit_group_gradient(b: Builder, addresses: Addresses, stage: GroupGradient, low: IrValue, high: IrValue) -> None:
    """Write slope and offset of the gradient of each image's groups, from sums over their pixels."""
    weight = None if stage.weight is None else addresses.operand(stage.weight)
    with b.loop(low, high) as (image, _):
        tensors = (stage.g, stage.x, stage.mean, stage.inverse, stage.slope, stage.offset)
        g, x, mean, inverse, slope, offset = (_Image.of(b, addresses, tensor, image) for tensor in tensors)

        def terms(channel: Index, row: Index, column: Index) -> list[IrValue]:
            scaled = g.vector(channel, row, column)
            if weight is not None:
                scaled = b.ir.fmul(scaled, b.load(weight, channel))
            away = b.ir.fadd(x.vector(channel, row, column), mean.vector(channel))
            return [b.ir.fmul(scaled, away), scaled]

        _sum_pixels(x, terms, [slope, offset])
        for channels in _each_group(b, stage):
            moved, plain = (_over_group(b, channels, sums.value) for sums in (slope, offset))
            scale = inverse.value(channels[0])
            share = b.ir.fdiv(scale, double(-float(_group_size(stage))))
            _fill_group(channels, slope, b.ir.fmul(b.ir.fmul(share, b.ir.fmul(scale, scale)), moved))
            _fill_group(channels, offset, b.ir.fmul(share, plain))


def _group_size(stage: GroupStatistics | GroupGradient) -> int:
    """Return the number of values of a group of one image."""
    return stage.x.height * stage.x.width * (stage.x.channels // stage.groups)


def _sum_pixels(x: _Image, terms: Callable[[Index, Index, Index], list[IrValue]], outs: list[_Image]) -> None:
    """Write sums over all pixels of what `terms` gives for a channel, a row and a column: one for each of `outs`."""

    def body(channel: Index, last: bool) -> None:
        totals = over_pixels(x.b, x.tensor, 1, len(outs), lambda _, row, column: terms(channel, row, column))
        for out, total in zip(outs, totals, strict=True):
            x.b.store(total, out.base, channel)

    over_channels(x.b, x.tensor, body)


def _each_group(b: Builder, stage: GroupStatistics | GroupGradient) -> Iterator[tuple[Index, Index]]:
    """Loop over the groups: the first channel of each, and the first one behind it."""
    size = stage.x.channels // stage.groups
    with b.loop(0, stage.groups) as (group, _):
        first = b.mul(group, size)
        yield first, b.add(first, size)


def _over_group(b: Builder, channels: tuple[Index, Index], term: Callable[[Index], IrValue]) -> IrValue:
    """Return the sum of a term over the channels of a group."""
    with b.loop(*channels, [double(0.0)]) as (channel, total):
        total[0] = b.ir.fadd(total[0], term(channel))
    return total[0]


def _fill_group(channels: tuple[Index, Index], out: _Image, value: IrValue) -> None:
    """Write the same number to all channels of a group."""
    number = out.b.ir.fptrunc(value, F32)
    with out.b.loop(*channels) as (channel, _):
        out.b.store_scalar(number, out.base, channel)


EMITTERS: Emitters = {
    Moments: emit_moments,
    BatchStatistics: emit_statistics,
    FrozenStatistics: emit_frozen_statistics,
    NormGradient: emit_norm_gradient,
    GroupStatistics: emit_group_statistics,
    GroupGradient: emit_group_gradient,
}
