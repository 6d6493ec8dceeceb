"""Pooling of bfloat16 images as machine code."""

from __future__ import annotations

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.half import clear_around, load_half, store_half
from neocog.emit.pointwise import Spot, position
from neocog.emit.pool import UNROLL_CELLS, bounds_of, over_cells, share_of
from neocog.plan.blocked import PLANE, Blocked
from neocog.plan.ops.half_pool import HalfPool


def emit_half_pool(b: Builder, addresses: Addresses, stage: HalfPool, low: Index, high: Index) -> None:
    """Write rows of the pooled images, one vector of channels of a window after another."""
    vertical, horizontal = stage.window.vertical, stage.window.horizontal
    as_half = isinstance(stage.y, Blocked)
    channels = stage.x.planes * PLANE if as_half else -(-stage.y.channels // b.lanes) * b.lanes
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, stage.y.height)
        top, first_row, last_row = bounds_of(b, vertical, row)
        with b.loop(0, stage.y.width) as (column, _):
            left, first_column, last_column = bounds_of(b, horizontal, column)
            bounds = (first_row, last_row), (first_column, last_column)
            with b.loop(0, channels // b.lanes) as (vector, _):
                channel = b.mul(vector, b.lanes)
                value = _pooled(b, addresses, stage, Spot(image, top, left, channel), bounds)
                if not stage.largest:
                    value = b.ir.fmul(value, share_of(b, stage, row, column))
                to = position(b, stage.y, Spot(image, row, column, channel))
                if as_half:
                    store_half(b, value, addresses.tensor(stage.y), to)
                else:
                    b.store(value, addresses.tensor(stage.y), to)
        if isinstance(stage.y, Blocked):
            clear_around(b, addresses.tensor(stage.y), stage.y, image, row)


def _pooled(
    b: Builder,
    addresses: Addresses,
    stage: HalfPool,
    corner: Spot,
    bounds: tuple[tuple[Index, Index], tuple[Index, Index]],
) -> IrValue:
    """Return the largest value of a window, or the sum."""
    x, source = addresses.tensor(stage.x), position(b, stage.x, corner)
    values = [b.splat(float("-inf") if stage.largest else 0.0)]

    def visit(r: Index, s: Index, values: list[IrValue]) -> None:
        cell = b.add(source, b.add(b.mul(r, stage.x.row_step), b.mul(s, stage.x.pitch)))
        value = load_half(b, x, cell)
        if not stage.largest:
            values[0] = b.ir.fadd(values[0], value)
            return
        better = b.ir.fcmp_ordered(">", value, values[0])
        better = b.ir.or_(better, b.ir.fcmp_unordered("uno", value, value))
        values[0] = b.ir.select(better, value, values[0])

    rows, columns = bounds
    if all(isinstance(bound, int) for bound in (*rows, *columns)) and stage.window.cells <= UNROLL_CELLS:
        for r in range(stage.window.vertical.kernel):
            for s in range(stage.window.horizontal.kernel):
                visit(r, s, values)
    else:
        with over_cells(b, rows, columns, values) as (r, s, carried):
            visit(r, s, carried)
    return values[0]


EMITTERS: Emitters = {HalfPool: emit_half_pool}
