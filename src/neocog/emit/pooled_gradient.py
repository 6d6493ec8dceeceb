"""The gradient of a convolution's weights through a max pooling: each lane picks what its window's largest cell met."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.argmax import load_argmax
from neocog.emit.builder import I8, Builder, Index, IrValue
from neocog.emit.emitter import Emitters
from neocog.plan.ops.pooled_gradient import PICKED, SIDE, PooledGradient, span_of


class _Share(NamedTuple):
    """What one pass over a band sums up: for a vector of filters, some rows and columns of taps."""

    panel: int
    vector: int
    rows: range
    columns: range

    @property
    def first(self) -> bool:
        """Whether it begins with the first tap, as one share of each vector does: this one sums the bias as well."""
        return self.rows.start == self.columns.start == 0


def emit_pooled_gradient(b: Builder, addresses: Addresses, stage: PooledGradient, low: Index, high: Index) -> None:
    """Write the gradient of the images of a chain's block, added to that of the blocks before."""
    assert addresses.block is not None
    bands = stage.dy.height // stage.band
    before = b.mul(addresses.block.number, stage.dy.images)
    with b.loop(0, stage.dy.images) as (image, _), b.loop(0, bands) as (band, _):
        number = b.add(b.mul(b.add(before, image), bands), band)
        for share in _shares(b, stage):
            sums = _sum_band(b, addresses, stage, share, image, b.mul(band, stage.band))
            _add(b, addresses, stage, share, sums, b.less(number, 1))


def _shares(b: Builder, stage: PooledGradient) -> Iterator[_Share]:
    """Cut the matrix of the gradient into passes whose sums fit the registers."""
    rows, columns = stage.window.vertical.kernel, stage.window.horizontal.kernel

    def fits(high: int, wide: int) -> bool:
        # Sums and as many picked values, for LLVM picks all of them first; rows of x; lanes; and some more.
        taps, reach = high * wide * stage.x.channels, span_of(stage.window, stage.x, wide)
        return reach <= PICKED and 2 * taps + high + 1 + wide * stage.x.channels + 4 <= b.target.registers

    sizes = [(high, wide) for high in range(1, rows + 1) for wide in range(1, columns + 1) if fits(high, wide)]
    # Rows of taps share the lanes that they pick.
    high, wide = max(sizes, key=lambda size: (size[0] * size[1], size[0]), default=(1, 1))
    for panel in range(stage.gradient.count):
        for vector in range(stage.gradient.width // b.lanes):
            for row in range(0, rows, high):
                for column in range(0, columns, wide):
                    down, across = range(row, min(row + high, rows)), range(column, min(column + wide, columns))
                    yield _Share(panel, vector, down, across)


def _sum_band(
    b: Builder, addresses: Addresses, stage: PooledGradient, share: _Share, image: Index, first: Index
) -> list[IrValue]:
    """Sum over the windows of a band: all taps of a share, and the bias with the first one of a vector."""
    count = len(share.rows) * len(share.columns) * stage.x.channels + (stage.sums is not None and share.first)
    with b.loop(0, stage.band, [b.splat(0.0)] * count) as (row, outer):
        with b.loop(0, stage.dy.width, outer) as (column, sums):
            sums[:] = _add_window(b, addresses, stage, share, (image, b.add(first, row), column), sums)
        outer[:] = sums
    return outer


def _add_window(
    b: Builder,
    addresses: Addresses,
    stage: PooledGradient,
    share: _Share,
    place: tuple[Index, Index, Index],
    sums: list[IrValue],
) -> list[IrValue]:
    """Add what one window gives to the sums."""
    x, v, h = stage.x, stage.window.vertical, stage.window.horizontal
    image, row, column = place
    channel = share.panel * stage.gradient.width + share.vector * b.lanes
    at = b.add(pixel(b, stage.mask, *place), channel)
    argmax = load_argmax(b, b.at(addresses.tensor(stage.mask), at, I8), I8)
    dy = b.load(addresses.tensor(stage.dy), b.add(pixel(b, stage.dy, *place), channel))
    dy = b.ir.select(b.ir.icmp_signed("<", argmax, b.splat_i32(SIDE * SIDE)), dy, b.splat(0.0))
    # The cell's row says which register to pick from, its column how far to the right.
    down = b.ir.and_(b.ir.shl(argmax, b.splat_i32(3)), b.splat_i32(PICKED))
    across = b.ir.mul(b.ir.and_(argmax, b.splat_i32(1)), b.splat_i32(h.stride * x.pitch))
    cell = b.ir.or_(down, across)
    top = b.add(b.mul(row, SIDE * v.stride), x.halo.top - v.before)
    left = b.add(b.mul(column, SIDE * h.stride), x.halo.left - h.before)
    corner = b.at(addresses.whole(x), pixel(b, x, image, top, left))
    first, count = share.columns.start * h.dilation * x.pitch, span_of(stage.window, x, len(share.columns))
    results: list[IrValue] = []
    given = iter(sums)
    for tap_row in share.rows:
        upper, lower = (
            b.load_first(corner, (tap_row * v.dilation + n * v.stride) * x.row_step + first, count) for n in range(SIDE)
        )
        for tap in share.columns:
            for source in range(x.channels):
                lanes = b.ir.add(cell, b.splat_i32(tap * h.dilation * x.pitch - first + source))
                results.append(b.multiply_add(b.pick(upper, lower, lanes), dy, next(given)))
    if stage.sums is not None and share.first:
        results.append(b.ir.fadd(next(given), dy))
    return results


def _add(
    b: Builder, addresses: Addresses, stage: PooledGradient, share: _Share, sums: list[IrValue], first: IrValue
) -> None:
    """Add sums to what is in memory; to zero, where these are the first of a slice."""
    gradient, channels = stage.gradient, stage.x.channels
    given = iter(sums)

    def put(base: IrValue, at: int) -> None:
        old = b.ir.select(first, b.splat(0.0), b.load(base, at))
        b.store(b.ir.fadd(old, next(given)), base, at)

    at = share.panel * gradient.panel_step + share.vector * b.lanes
    for tap_row in share.rows:
        for tap in share.columns:
            for source in range(channels):
                tap_number = tap_row * stage.window.horizontal.kernel + tap
                put(addresses.operand(stage.out), at + (tap_number * channels + source) * gradient.width)
    if stage.sums is not None and share.first:
        put(addresses.operand(stage.sums), share.panel * gradient.width + share.vector * b.lanes)


EMITTERS: Emitters = {PooledGradient: emit_pooled_gradient}
