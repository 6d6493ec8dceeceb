"""Weights rounded to bfloat16 in the order of tiles, as machine code."""

from __future__ import annotations

from neocog.emit.addresses import Addresses
from neocog.emit.builder import I16, I32, Builder, Index
from neocog.emit.emitter import Emitters
from neocog.emit.grouped import filters_of_group
from neocog.emit.half import rounded
from neocog.emit.product import first_plane
from neocog.plan.blocked import PANEL, PLANE, TILE_ROWS
from neocog.plan.ops.pack import PackTiles
from neocog.plan.ops.product import PANEL_TAP


def emit_pack(b: Builder, addresses: Addresses, stage: PackTiles, low: Index, high: Index) -> None:
    """Write some taps of panels."""
    weights, out = addresses.panels(stage.weights), addresses.operand(stage.out)
    filters = -(-stage.weights.columns // b.lanes) * b.lanes
    outputs = stage.weights.columns // stage.groups
    with b.loop(low, high) as (item, _):
        rest, number = b.divmod(item, stage.taps)
        panel, plane = b.divmod(rest, stage.planes)
        tap = _source(b, stage, number)
        to = b.at(out, b.mul(item, PANEL_TAP), I16)
        first = b.mul(b.add(first_plane(b, panel, stage.groups, stage.channels, outputs, stage.planes), plane), PLANE)
        with b.loop(0, PLANE // 2) as (pair, _):
            for lane in range(0, PANEL, b.lanes):
                column = b.add(b.mul(panel, PANEL), lane)
                known = b.less(column, filters)
                inside = b.minimum(column, filters - b.lanes)
                matrix, within = b.divmod(inside, stage.weights.width)
                words = []
                for odd in range(2):
                    channel = b.add(first, b.add(b.mul(pair, 2), odd))
                    group, within_group = b.divmod(
                        b.minimum(channel, stage.groups * stage.channels - 1), stage.channels
                    )
                    row = b.add(b.mul(tap, stage.channels), within_group)
                    place = b.add(b.mul(matrix, stage.weights.panel_step), b.mul(row, stage.weights.width))
                    value = b.load(weights, b.add(place, within))
                    known_too = b.ir.and_(known, b.less(channel, stage.groups * stage.channels))
                    value = b.ir.select(known_too, value, b.splat(0.0))
                    if stage.groups > 1:
                        value = b.ir.select(filters_of_group(b, column, group, outputs), value, b.splat(0.0))
                    words.append(b.ir.zext(rounded(b, value), b.vector_i32))
                both = b.ir.or_(words[0], b.ir.shl(words[1], b.splat_i32(16)))
                tile, filter_ = divmod(lane, TILE_ROWS)
                place = b.add(b.mul(pair, TILE_ROWS), tile * (PANEL_TAP // 4) + filter_)
                b.ir.store(both, b.at(to, place, I32), align=b.target.vector_bytes)


def _source(b: Builder, stage: PackTiles, number: Index) -> Index:
    """Return which tap of the weights is the one of a number."""
    down, across = b.divmod(number, stage.across.count)
    row = b.add(b.mul(down, stage.down.step), stage.down.first)
    return b.add(b.mul(row, stage.row), b.add(b.mul(across, stage.across.step), stage.across.first))


EMITTERS: Emitters = {PackTiles: emit_pack}
