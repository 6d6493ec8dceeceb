"""Values brought into another order, a vector of the result at a time.

A vector of y is put together from lanes of vectors of x, read where they lie. The channels of a pixel repeat: some
vectors further on in y, the same lanes are needed a constant distance further on in x. So long runs are a loop over
such periods; only what is left over is written down by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.channels import chosen
from neocog.emit.emitter import Emitters
from neocog.plan.loops import Axis
from neocog.plan.ops.copy import Copy

UNROLLED = 16  # so many summands are added up without a loop


@dataclass(frozen=True, slots=True)
class Held:
    """A vector of x: where it begins, and in which of its lanes it holds which channels of y."""

    start: int
    lanes: dict[int, int]


def vectors_with(places: Sequence[int | None], lanes: int, pitch: int) -> list[Held]:
    """Choose vectors that hold all places of x, none of which leaves the pixel where it begins.

    >>> [held.start for held in vectors_with([0, 8, 1, 9, None], 4, 16)]
    [0, 8]
    >>> [held.start for held in vectors_with([13, 14, 15, 16], 4, 16)]
    [12, 16]
    """
    found: list[Held] = []
    end = 0
    for place, channel in sorted((place, channel) for channel, place in enumerate(places) if place is not None):
        if not found or place >= end:
            end = min(place + lanes, (place // pitch + 1) * pitch)
            found.append(Held(end - lanes, {}))
        found[-1].lanes[channel] = place - found[-1].start
    return found


def emit_copy(b: Builder, addresses: Addresses, stage: Copy, low: IrValue, high: IrValue) -> None:
    """Write turns of the first loop, low ≤ item < high."""
    x, y = addresses.tensor(stage.x), addresses.tensor(stage.y)
    first, *others = stage.walk
    with b.loop(low, high) as (item, _), ExitStack() as loops:
        image, turn = b.divmod(item, first.extent)
        at_x = b.add(b.mul(image, stage.x.image_step), b.mul(turn, first.a))
        at_y = b.add(b.mul(image, stage.y.image_step), b.mul(turn, first.out))
        for axis in others:
            index, _ = loops.enter_context(b.loop(0, axis.extent))
            at_x, at_y = b.add(at_x, b.mul(index, axis.a)), b.add(at_y, b.mul(index, axis.out))
        _pixel(b, stage, b.at(x, at_x), b.at(y, at_y))


def _pixel(b: Builder, stage: Copy, x: IrValue, y: IrValue) -> None:
    """Write one pixel of y."""
    lanes, pitch = b.lanes, stage.x.pitch
    places: list[int | None] = [None] * stage.skip + list(stage.sources())
    places += [None] * (-(-stage.y.channels // lanes) * lanes - len(places))
    period, step = _period(stage, lanes)
    turns = 0 if stage.skip % lanes else stage.copied // period
    if turns > 1:
        begin = stage.skip
        starts = [held.start for held in vectors_with(places[begin : begin + period], lanes, pitch)]
        last = (turns - 1) * step + lanes - 1
        if any(start // pitch != (start + last) // pitch for start in starts):
            turns -= 1  # the last one would read past its pixel
    if turns < 2:
        _vectors(b, stage, x, y, places, 0)
        return
    _vectors(b, stage, x, y, places[: stage.skip], 0)
    with b.loop(0, turns) as (turn, _):
        of_x, of_y = b.at(x, b.mul(turn, step)), b.at(y, b.mul(turn, period))
        _vectors(b, stage, of_x, of_y, places[begin : begin + period], begin)
    _vectors(b, stage, x, y, places[begin + turns * period :], begin + turns * period)


def _period(stage: Copy, lanes: int) -> tuple[int, int]:
    """Return after how many channels of y the same lanes are needed again, and how far x has moved by then."""
    outer = stage.channels[0]
    return lanes * math.prod(axis.extent for axis in stage.channels[1:]), lanes * outer.a


def _vectors(b: Builder, stage: Copy, x: IrValue, y: IrValue, places: Sequence[int | None], begin: int) -> None:
    """Write whole vectors of y from channel `begin` on, each lane of which comes from a place of x or is zero."""
    vectors = vectors_with(places, b.lanes, stage.x.pitch)
    read: dict[int, IrValue] = {}
    for first in range(0, len(places), b.lanes):
        value = b.splat(0.0)
        channels = range(first, first + b.lanes)
        for held in vectors:
            wanted = [held.lanes.get(channel) for channel in channels]
            if all(lane is None for lane in wanted):
                continue
            if held.start not in read:
                read[held.start] = _read(b, x, held.start, stage.sums)
            if wanted == list(range(b.lanes)):
                value = read[held.start]
                continue
            # Lanes of the vector so far stay; behind them, for the shuffle, come those that are held.
            value = chosen(
                b, value, read[held.start], [n if lane is None else b.lanes + lane for n, lane in enumerate(wanted)]
            )
        b.store(value, y, begin + first)


def _read(b: Builder, x: IrValue, start: int, sums: Sequence[Axis]) -> IrValue:
    """Return a vector of x, or the sum of those that are added up for one of y."""
    if math.prod(axis.extent for axis in sums) <= UNROLLED:
        offsets = [start]
        for axis in sums:
            offsets = [offset + turn * axis.a for offset in offsets for turn in range(axis.extent)]
        total = b.load(x, offsets[0], aligned=False)
        for offset in offsets[1:]:
            total = b.ir.fadd(total, b.load(x, offset, aligned=False))
        return total
    outer, inner = sums
    with b.loop(0, outer.extent, [b.splat(0.0)]) as (row, rows):
        with b.loop(0, inner.extent, [rows[0]]) as (column, columns):
            place: Index = b.add(b.add(b.mul(row, outer.a), b.mul(column, inner.a)), start)
            columns[0] = b.ir.fadd(columns[0], b.load(x, place, aligned=False))
        rows[0] = columns[0]
    return rows[0]


EMITTERS: Emitters = {Copy: emit_copy}
