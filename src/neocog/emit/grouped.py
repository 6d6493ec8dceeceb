"""Filters of groups spread out to blocks, and their gradient gathered, as machine code: vectors of filters, of which a
mask keeps those of one group; or transposed, value by value.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from llvmlite import ir

from neocog.emit.addresses import Addresses
from neocog.emit.builder import F32, Builder, Index, IrValue, int32
from neocog.emit.emitter import Emitters
from neocog.plan.ops.grouped import Gather, Spread, TransposeGroups


def emit_spread(b: Builder, addresses: Addresses, stage: Spread, low: Index, high: Index) -> None:
    """Write vectors of filters down for the channels of every group: their own where it is theirs, zeros elsewhere."""
    filters, block = addresses.panels(stage.filters), addresses.panels(stage.block)
    groups = stage.block.columns // stage.outputs
    with b.loop(low, high) as (vector, _), _rows(b, stage) as (tap, channel):
        value = b.load(filters, _of_filters(b, stage, vector, tap, channel))
        with b.loop(0, groups) as (group, _):
            kept = b.ir.select(_inside(b, stage, vector, group), value, b.splat(0.0))
            b.store(kept, block, _of_block(b, stage, vector, tap, group, channel))


def emit_gather(b: Builder, addresses: Addresses, stage: Gather, low: Index, high: Index) -> None:
    """Write vectors of filters, each lane from the row of its own group."""
    filters, block = addresses.panels(stage.filters), addresses.panels(stage.block)
    groups = stage.block.columns // stage.outputs
    with b.loop(low, high) as (vector, _), _rows(b, stage) as (tap, channel):
        with b.loop(0, groups, [b.splat(0.0)]) as (group, found):
            value = b.load(block, _of_block(b, stage, vector, tap, group, channel))
            found[0] = b.ir.select(_inside(b, stage, vector, group), value, found[0])
        b.store(found[0], filters, _of_filters(b, stage, vector, tap, channel))


def emit_transpose_groups(b: Builder, addresses: Addresses, stage: TransposeGroups, low: Index, high: Index) -> None:
    """Write some panels of taps: neighbouring columns may be channels of several groups; past the last are zeros."""
    filters, transposed = addresses.panels(stage.filters), addresses.panels(stage.transposed)
    wide, channels = stage.transposed.width, stage.transposed.columns
    with b.loop(low, high) as (item, _), b.loop(0, wide) as (column, _):
        tap, panel = b.divmod(item, stage.transposed.count)
        to = b.add(b.mul(panel, stage.transposed.panel_step), b.add(b.mul(tap, stage.outputs * wide), column))
        number = b.add(b.mul(panel, wide), column)
        known = b.less(number, channels)
        group, channel = b.divmod(b.minimum(number, channels - 1), stage.inputs)
        row = b.add(b.mul(tap, stage.inputs), channel)
        with b.loop(0, stage.outputs) as (filter_, _):
            vector, lane = b.divmod(b.add(b.mul(group, stage.outputs), filter_), stage.filters.width)
            place = b.add(b.mul(vector, stage.filters.panel_step), b.mul(row, stage.filters.width))
            value = b.ir.select(known, b.load_scalar(filters, b.add(place, lane)), ir.Constant(F32, 0.0))
            b.store_scalar(value, transposed, b.add(to, b.mul(filter_, wide)))


@contextmanager
def _rows(b: Builder, stage: Spread | Gather) -> Iterator[tuple[Index, Index]]:
    """Loop over taps and the channels of a group."""
    with b.loop(0, stage.taps) as (tap, _), b.loop(0, stage.inputs) as (channel, _):
        yield tap, channel


def _of_filters(b: Builder, stage: Spread | Gather, vector: Index, tap: Index, channel: Index) -> Index:
    """Return where a vector of filters lies."""
    row = b.add(b.mul(tap, stage.inputs), channel)
    return b.add(b.mul(vector, stage.filters.panel_step), b.mul(row, b.lanes))


def _of_block(b: Builder, stage: Spread | Gather, vector: Index, tap: Index, group: Index, channel: Index) -> Index:
    """Return where it lies in the block."""
    inputs = stage.inputs * (stage.block.columns // stage.outputs)
    row = b.add(b.add(b.mul(tap, inputs), b.mul(group, stage.inputs)), channel)
    panel, within = b.divmod(vector, stage.block.width // b.lanes)
    place = b.add(b.mul(panel, stage.block.panel_step), b.mul(within, b.lanes))
    return b.add(place, b.mul(row, stage.block.width))


def _inside(b: Builder, stage: Spread | Gather, vector: Index, group: Index) -> IrValue:
    return filters_of_group(b, b.mul(vector, b.lanes), group, stage.outputs)


def filters_of_group(b: Builder, first: Index, group: Index, outputs: int) -> IrValue:
    """Return which lanes of a vector of filters, from the first one on, belong to a group of so many."""
    lanes = ir.Constant(b.vector_i32, [int32(lane) for lane in range(b.lanes)])
    columns = b.ir.add(b.splat_i32(first), lanes)
    begin = b.splat_i32(b.mul(group, outputs))
    end = b.splat_i32(b.mul(b.add(group, 1), outputs))
    return b.ir.and_(b.ir.icmp_signed(">=", columns, begin), b.ir.icmp_signed("<", columns, end))


EMITTERS: Emitters = {Spread: emit_spread, Gather: emit_gather, TransposeGroups: emit_transpose_groups}
