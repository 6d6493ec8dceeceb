"""Rows of images side by side, as a first convolution in bfloat16 takes them, as machine code."""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.half import clear_gap, store_half
from neocog.emit.pointwise import Spot, position
from neocog.plan.blocked import PLANE
from neocog.plan.ops.stack import Stack


def emit_stack(b: Builder, addresses: Addresses, stage: Stack, low: Index, high: Index) -> None:
    """Write some rows: of each window as many neighbouring values as it sees, and zeros behind them."""
    x, y = addresses.tensor(stage.x), addresses.tensor(stage.y)
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, stage.y.height)
        source = b.add(b.mul(image, stage.x.image_step), b.mul(row, stage.x.row_step))
        source = b.add(source, -stage.before * stage.x.pitch)
        with b.loop(0, stage.y.width) as (column, _):
            window = b.add(source, b.mul(column, stage.stride * stage.x.pitch))
            to = position(b, stage.y, Spot(image, row, column, 0))
            for lane in range(0, PLANE, b.lanes):
                value = b.splat(0.0)
                if lane < stage.y.channels:
                    value = _first_lanes(b, b.load(x, b.add(window, lane), aligned=False), stage.y.channels - lane)
                store_half(b, value, y, b.add(to, lane))
        with b.loop(0, 1) as (plane, _):
            clear_gap(b, y, stage.y, image, plane, row)


def _first_lanes(b: Builder, value: IrValue, count: int) -> IrValue:
    """Return a vector with zeros behind its first lanes."""
    if count >= b.lanes:
        return value
    inside = ir.Constant(ir.VectorType(ir.IntType(1), b.lanes), [int(lane < count) for lane in range(b.lanes)])
    return b.ir.select(inside, value, b.splat(0.0))


EMITTERS: Emitters = {Stack: emit_stack}
