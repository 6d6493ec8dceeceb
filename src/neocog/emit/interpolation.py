"""Bilinear interpolation. Where a pixel lies between others is told in whole numbers, so that only weights are rounded.

Of a line of n pixels that becomes one of m, the middle of output p lies at ((2p + 1) · n - m) / 2m, at least 0 and at
most n - 1.
"""

from __future__ import annotations

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.builder import F32, Builder, Index, IrValue, float_bits
from neocog.emit.emitter import Emitters
from neocog.plan.ops.interpolation import Interpolate, InterpolateGradient

TOGETHER = 4  # vectors of channels for which a weight is computed once


def emit_interpolate(b: Builder, addresses: Addresses, stage: Interpolate, low: IrValue, high: IrValue) -> None:
    """Write rows of enlarged images."""
    x, y = stage.x, stage.y
    read, write = addresses.tensor(x), addresses.tensor(y)
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, y.height)
        (top, of_top), (bottom, of_bottom) = _neighbours(b, row, x.height, y.height)
        with b.loop(0, y.width) as (column, _):
            (left, of_left), (right, of_right) = _neighbours(b, column, x.width, y.width)
            around = [
                (b.at(read, pixel(b, x, image, r, c)), b.splat(b.ir.fmul(of_r, of_c)))
                for r, of_r in ((top, of_top), (bottom, of_bottom))
                for c, of_c in ((left, of_left), (right, of_right))
            ]
            out = b.at(write, pixel(b, y, image, row, column))
            with b.loop(0, -(-y.channels // b.lanes)) as (vector, _):
                channel = b.mul(vector, b.lanes)
                (first, weight), *others = around
                total = b.ir.fmul(b.load(first, channel), weight)
                for address, weight in others:
                    total = b.multiply_add(b.load(address, channel), weight, total)
                b.store(total, out, channel)


def emit_interpolate_gradient(
    b: Builder, addresses: Addresses, stage: InterpolateGradient, low: IrValue, high: IrValue
) -> None:
    """Write rows of gradients of small images."""
    dy, dx = stage.dy, stage.dx
    read, write = addresses.tensor(dy), addresses.tensor(dx)
    whole, rest = divmod(-(-dx.channels // b.lanes), TOGETHER)
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, dx.height)
        rows = _reached(b, row, dx.height, dy.height)
        with b.loop(0, dx.width) as (column, _):
            columns = _reached(b, column, dx.width, dy.width)
            out = b.at(write, pixel(b, dx, image, row, column))

            def write_some(channel: Index, count: int) -> None:
                nothing = [b.splat(0.0)] * count
                with b.loop(*rows, nothing) as (p, by_row):
                    of_row = _share(b, p, row, dx.height, dy.height)
                    line = b.add(pixel(b, dy, image, p, 0), channel)
                    with b.loop(*columns, by_row) as (q, totals):
                        share = b.splat(b.ir.fmul(of_row, _share(b, q, column, dx.width, dy.width)))
                        place = b.at(read, b.add(line, b.mul(q, dy.pitch)))
                        for n in range(count):
                            totals[n] = b.multiply_add(b.load(place, n * b.lanes), share, totals[n])
                    by_row[:] = totals
                for n, total in enumerate(by_row):
                    b.store(total, out, b.add(channel, n * b.lanes))

            if whole:
                with b.loop(0, whole) as (turn, _):
                    write_some(b.mul(turn, TOGETHER * b.lanes), TOGETHER)
            if rest:
                write_some(whole * TOGETHER * b.lanes, rest)


def _place(b: Builder, output: Index, n: int, m: int) -> Index:
    """Return where the middle of an output pixel lies, in parts of 2m to a pixel."""
    middle = b.sub(b.mul(b.add(b.mul(output, 2), 1), n), m)
    return b.minimum(b.maximum(middle, 0), 2 * m * (n - 1))


def _neighbours(b: Builder, output: Index, n: int, m: int) -> tuple[tuple[Index, IrValue], tuple[Index, IrValue]]:
    """Return the two pixels that an output lies between, each with its share."""
    before, rest = b.divmod(_place(b, output, n, m), 2 * m)
    after = b.minimum(b.add(before, 1), n - 1)
    return (before, _part(b, b.sub(2 * m, rest), m)), (after, _part(b, rest, m))


def _reached(b: Builder, x: Index, n: int, m: int) -> tuple[Index, Index]:
    """Return the first output in which a pixel has a share, and the one behind the last."""
    first, _ = b.divmod(b.maximum(b.add(b.mul(b.sub(b.mul(x, 2), 1), m), n), 0), 2 * n)
    end, _ = b.divmod(b.add(b.mul(b.add(b.mul(x, 2), 3), m), n - 1), 2 * n)
    return first, b.minimum(end, m)


def _share(b: Builder, output: Index, x: Index, n: int, m: int) -> IrValue:
    """Return the share of a pixel in an output that it is next to."""
    away = b.sub(_place(b, output, n, m), b.mul(x, 2 * m))
    return _part(b, b.sub(2 * m, b.maximum(away, b.sub(0, away))), m)


def _part(b: Builder, parts: Index, m: int) -> IrValue:
    """Return so many parts of 2m as a number."""
    return b.ir.fmul(b.ir.sitofp(b.index(parts), F32), float_bits(1.0 / (2 * m)))


EMITTERS: Emitters = {Interpolate: emit_interpolate, InterpolateGradient: emit_interpolate_gradient}
