"""Local response normalization. What windows over channels add up is laid out in scratch memory, a row at a time, with
zeros between the pixels: a sum is then as many loads off alignment as the window has channels.
"""

from __future__ import annotations

from neocog.emit.addresses import Addresses
from neocog.emit.builder import Builder, Index, IrValue
from neocog.emit.channels import Pixel, each_vector, keep_lanes
from neocog.emit.emitter import Emitters
from neocog.emit.vector_math import exp, log
from neocog.nn.layers import LocalResponseNorm
from neocog.plan.layout import Tensor
from neocog.plan.ops.local_response import LocalResponse, LocalResponseGradient, Spaced

WRITTEN_OUT = 16  # channels of a window; wider ones are added up in a loop


def emit_local_response(b: Builder, addresses: Addresses, stage: LocalResponse, low: IrValue, high: IrValue) -> None:
    """Write y = x / s^β for rows of images."""
    layer, channels = stage.layer, stage.y.channels
    squares = addresses.operand(stage.squares.place)
    with b.loop(low, high) as (item, _):
        line = b.divmod(item, stage.x.height)
        _write_squares(b, addresses, stage.x, line, stage.squares)
        with b.loop(0, stage.y.width) as (column, _):
            x, y = (Pixel.of(b, addresses, tensor, (*line, column)) for tensor in (stage.x, stage.y))

            def divide(first: Index, count: int, x: Pixel = x, y: Pixel = y, column: Index = column) -> None:
                base = _base(b, layer, channels, squares, _at(b, stage.squares, column, first))
                value = b.ir.fmul(x.load(first, count), _power(b, base, -layer.beta))
                y.store(keep_lanes(b, value, count, 0.0), first)  # 0 · NaN is no zero

            each_vector(b, channels, divide)


def emit_local_response_gradient(
    b: Builder, addresses: Addresses, stage: LocalResponseGradient, low: IrValue, high: IrValue
) -> None:
    """Write dx for rows of images: dy / s^β first, from which the sums are then taken away."""
    layer, channels = stage.layer, stage.dx.channels
    before, behind = layer.beside(channels)
    squares, shares = addresses.operand(stage.squares.place), addresses.operand(stage.shares.place)
    with b.loop(low, high) as (item, _):
        line = b.divmod(item, stage.x.height)
        _write_squares(b, addresses, stage.x, line, stage.squares)
        _clear_margins(b, shares, stage.shares)
        with b.loop(0, stage.dx.width) as (column, _):
            x, dy, dx = (Pixel.of(b, addresses, tensor, (*line, column)) for tensor in (stage.x, stage.dy, stage.dx))

            def divide(
                first: Index, count: int, x: Pixel = x, dy: Pixel = dy, dx: Pixel = dx, column: Index = column
            ) -> None:
                base = _base(b, layer, channels, squares, _at(b, stage.squares, column, first))
                scaled = b.ir.fmul(dy.load(first, count), _power(b, base, -layer.beta))
                dx.store(keep_lanes(b, scaled, count, 0.0), first)
                share = b.ir.fdiv(b.ir.fmul(scaled, x.load(first, count)), base)
                b.store(keep_lanes(b, share, count, 0.0), shares, _at(b, stage.shares, column, first))

            each_vector(b, channels, divide)
        factor = b.splat(-2.0 * layer.alpha * layer.beta / layer.size)
        with b.loop(0, stage.dx.width) as (column, _):
            x, dx = (Pixel.of(b, addresses, tensor, (*line, column)) for tensor in (stage.x, stage.dx))

            def take_away(first: Index, count: int, x: Pixel = x, dx: Pixel = dx, column: Index = column) -> None:
                total = _window(b, shares, _at(b, stage.shares, column, first), behind, before)
                moved = b.ir.fmul(b.ir.fmul(x.load(first, count), factor), total)
                dx.store(keep_lanes(b, b.ir.fadd(dx.load(first, count), moved), count, 0.0), first)

            each_vector(b, channels, take_away)


def _write_squares(b: Builder, addresses: Addresses, x: Tensor, line: tuple[Index, Index], row: Spaced) -> None:
    """Lay out the squares of a row of x: an image, and the row in it."""
    squares = addresses.operand(row.place)
    _clear_margins(b, squares, row)
    with b.loop(0, x.width) as (column, _):
        pixel = Pixel.of(b, addresses, x, (*line, column))

        def square(first: Index, count: int) -> None:
            value = pixel.load(first, count)
            b.store(b.ir.fmul(value, value), squares, _at(b, row, column, first))

        each_vector(b, x.channels, square)


def _clear_margins(b: Builder, begin: IrValue, row: Spaced) -> None:
    """Zero what lies before, between and after the pixels of a row."""
    with b.loop(0, row.pixels + 1) as (place, _), b.loop(0, row.margin // b.lanes) as (vector, _):
        b.store(b.splat(0.0), begin, b.add(b.mul(place, row.step), b.mul(vector, b.lanes)))


def _base(b: Builder, layer: LocalResponseNorm, channels: int, squares: IrValue, place: Index) -> IrValue:
    """Return s = k + α / size · Σ x² for the vector of channels whose squares lie at a place."""
    total = _window(b, squares, place, *layer.beside(channels))
    return b.multiply_add(total, b.splat(layer.alpha / layer.size), b.splat(layer.k))


def _window(b: Builder, begin: IrValue, place: Index, before: int, behind: int) -> IrValue:
    """Return, lane by lane, the sum of what lies from `before` elements in front of a place to `behind` after it."""
    first, taps = b.sub(place, before), before + behind + 1
    if taps > WRITTEN_OUT:
        with b.loop(0, taps, [b.splat(0.0)]) as (tap, sums):
            sums[0] = b.ir.fadd(sums[0], b.load(begin, b.add(first, tap), aligned=False))
        return sums[0]
    total = b.load(begin, first, aligned=before == 0)
    for tap in range(1, taps):
        total = b.ir.fadd(total, b.load(begin, b.add(first, tap), aligned=tap == before))
    return total


def _power(b: Builder, base: IrValue, exponent: float) -> IrValue:
    """Return base^exponent, for a base above 0."""
    return exp(b, b.ir.fmul(log(b, base), b.splat(exponent)))


def _at(b: Builder, row: Spaced, column: Index, channel: Index) -> Index:
    """Return where a channel of a pixel lies in a row."""
    return b.add(b.add(b.mul(column, row.step), channel), row.margin)


EMITTERS: Emitters = {LocalResponse: emit_local_response, LocalResponseGradient: emit_local_response_gradient}
