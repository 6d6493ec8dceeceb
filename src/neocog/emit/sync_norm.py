"""Statistics of all slices of a training step, channel by channel, in double precision."""

from __future__ import annotations

from neocog.emit.addresses import Addresses
from neocog.emit.builder import I64, Builder, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.norm import (
    F64,
    double,
    follow_statistics,
    load_double,
    moments_of,
    store_double,
    store_slope_and_offset,
)
from neocog.emit.slots import WHOLE_SLOT
from neocog.plan.ops.norm import INVERSE, SCALE
from neocog.plan.ops.sync_norm import SliceMoments, SliceSums, SyncGradient, SyncStatistics


def _whole(b: Builder, addresses: Addresses, pixels: int) -> IrValue:
    """Return the number of values of a channel in all slices."""
    return b.ir.fmul(b.ir.sitofp(addresses.argument(WHOLE_SLOT, I64), F64), double(float(pixels)))


def emit_slice_moments(b: Builder, addresses: Addresses, stage: SliceMoments, low: IrValue, high: IrValue) -> None:
    """Write mean and Σ (x - mean)² over a slice."""
    for channel, mean, away, _ in moments_of(b, addresses, stage):
        store_double(b, addresses, mean, stage.out, channel)
        store_double(b, addresses, away, stage.out, b.add(channel, stage.step))


def emit_sync_statistics(b: Builder, addresses: Addresses, stage: SyncStatistics, low: IrValue, high: IrValue) -> None:
    """Write mean, variance and what follows from them, from the moments of all slices."""
    moments, step, width = addresses.operand(stage.moments), stage.step, stage.slices.block
    count, total = addresses.argument(WHOLE_SLOT, I64), _whole(b, addresses, stage.pixels)

    def values(number: IrValue) -> IrValue:
        images = b.maximum(0, b.minimum(b.sub(count, b.mul(number, width)), width))
        return b.ir.fmul(b.ir.sitofp(b.index(images), F64), double(float(stage.pixels)))

    with b.loop(0, stage.channels) as (channel, _):

        def of_slice(number: IrValue, which: int) -> IrValue:
            return load_double(b, moments, b.add(channel, b.add(b.mul(number, 2 * step), which * step)))

        with b.loop(0, stage.slices.count, [double(0.0)]) as (number, sums):
            sums[0] = b.ir.fadd(sums[0], b.ir.fmul(values(number), of_slice(number, 0)))
        mean = b.ir.fdiv(sums[0], total)
        with b.loop(0, stage.slices.count, [double(0.0)]) as (number, sums):
            far = b.ir.fsub(of_slice(number, 0), mean)
            moved = b.ir.fmul(values(number), b.ir.fmul(far, far))
            sums[0] = b.ir.fadd(sums[0], b.ir.fadd(of_slice(number, 1), moved))
        follow_statistics(b, addresses, stage, channel, mean, sums[0], total)


def emit_slice_sums(b: Builder, addresses: Addresses, stage: SliceSums, low: IrValue, high: IrValue) -> None:
    """Write the sums of a slice from those of its parts."""
    sums = addresses.operand(stage.sums)
    with b.loop(0, stage.channels) as (channel, _):
        for which in range(2):
            total = double(0.0)
            for part in range(stage.parts):
                total = b.ir.fadd(total, load_double(b, sums, b.add(channel, (2 * part + which) * stage.step)))
            store_double(b, addresses, total, stage.out, b.add(channel, which * stage.step))


def emit_sync_gradient(b: Builder, addresses: Addresses, stage: SyncGradient, low: IrValue, high: IrValue) -> None:
    """Write slope and offset of the input's gradient from the sums of all slices."""
    sums, statistics, step = addresses.operand(stage.sums), addresses.operand(stage.statistics), stage.step
    assert stage.out is not None, "frozen statistics need none"
    total = _whole(b, addresses, stage.pixels)
    with b.loop(0, stage.channels) as (channel, _):
        with b.loop(0, stage.slices, [double(0.0)] * 2) as (number, carried):
            for which in range(2):
                place = b.add(channel, b.add(b.mul(number, 2 * step), which * step))
                carried[which] = b.ir.fadd(carried[which], load_double(b, sums, place))
        inverse, scale = (load_double(b, statistics, b.add(channel, which * step)) for which in (INVERSE, SCALE))
        store_slope_and_offset(
            b, addresses, stage.out, (inverse, scale), step, channel, (carried[0], carried[1]), total
        )


EMITTERS: Emitters = {
    SliceMoments: emit_slice_moments,
    SyncStatistics: emit_sync_statistics,
    SliceSums: emit_slice_sums,
    SyncGradient: emit_sync_gradient,
}
