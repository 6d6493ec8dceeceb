"""Windows that roll over an image as machine code: rows are moved up, cleared, and made anew."""

from __future__ import annotations

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.contraction import emit_some
from neocog.emit.emitter import Emitters
from neocog.emit.microkernel import Offsets
from neocog.plan.ops.rolling import Rolling


def emit_rolling(b: Builder, addresses: Addresses, stage: Rolling, low: Index, high: Index) -> None:
    """Write the rows of one band."""
    assert addresses.block is not None
    y, window = stage.y, addresses.whole(stage.y)
    top = b.add(b.mul(addresses.block.first, stage.step), -stage.before)  # of the image
    begins = b.less(addresses.block.number, 1)
    with b.ir.if_else(begins) as (anew, on):
        with anew:
            _clear(b, window, 0, y.size)
        with on, b.loop(0, stage.kept * y.row_step // b.lanes) as (vector, _):
            at = b.mul(vector, b.lanes)
            b.store(b.load(b.at(window, stage.step * y.row_step), at), window, at)
    end = b.minimum(b.sub(stage.height, top), y.height)
    with b.loop(end, y.height) as (row, _):
        _clear(b, window, b.mul(row, y.row_step), y.row_step)
    begin = b.maximum(b.ir.select(begins, b.index(0), b.index(stage.kept)), b.sub(0, top))
    each, rows = stage.items_a_row, stage.contraction.rows.axes[0]
    start = Offsets(a=b.mul(top, rows.a))
    emit_some(b, addresses, stage.contraction, b.mul(begin, each), b.mul(end, each), start)


def _clear(b: Builder, base: IrValue, start: Index, count: int) -> None:
    with b.loop(0, count // b.lanes) as (vector, _):
        b.store(b.splat(0.0), base, b.add(start, b.mul(vector, b.lanes)))


EMITTERS: Emitters = {Rolling: emit_rolling}
