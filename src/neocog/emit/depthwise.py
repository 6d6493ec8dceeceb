"""Depthwise convolution as machine code: a vector of channels at a time, several pixels of a row in registers.

Each pixel of the input is loaded once for all taps of a row that meet it, and filters stay in registers where they fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.builder import F32, I8, Builder, Index, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.epilogue import finished
from neocog.emit.half import clear_around, element, fill_up, load_from, store_to, vector_of
from neocog.emit.pointwise import Spot
from neocog.emit.rounded import load_bytes, widened
from neocog.plan.blocked import PLANE, Blocked
from neocog.plan.ops.depthwise import Depthwise, DepthwiseGradient, Sweep, forward_sweep
from neocog.plan.rounded import LOW_BIAS, Rounded

UNROLLED_TAPS = 64  # filters of at most so many are written out, larger ones row by row in a loop


def emit_depthwise(b: Builder, addresses: Addresses, stage: Depthwise, low: Index, high: Index) -> None:
    """Write bands of images, one vector of channels after another."""
    vectors = -(-stage.y.channels // b.lanes)
    with b.loop(low, high) as (item, _):
        image, part = b.divmod(item, stage.bands)
        first = b.mul(part, stage.band)
        with b.loop(0, vectors) as (vector, _):
            channel = b.mul(vector, b.lanes)
            for rows, columns in product(stage.rows, stage.columns):
                _emit_pass(b, addresses, stage, _Pass(rows, columns, image, channel), first)
        if isinstance(stage.y, Blocked):
            rows_of_item = -(-stage.y.height // stage.bands)
            begin = b.mul(part, rows_of_item)
            with b.loop(begin, b.minimum(b.add(begin, rows_of_item), stage.y.height)) as (row, _):
                _emit_zeros(b, addresses.tensor(stage.y), stage.y, image, row)


def _emit_zeros(b: Builder, base: IrValue, y: Blocked, image: Index, row: Index) -> None:
    """Write the zeros of a row: those behind the last vector of its pixels, and those between it and the next row."""
    if -(-y.channels // b.lanes) * b.lanes < y.planes * PLANE:
        with b.loop(0, y.width) as (column, _):
            fill_up(b, base, y, pixel(b, y, image, row, column), y.channels)
    clear_around(b, base, y, image, row)


@dataclass(frozen=True, slots=True)
class _Pass:
    """One sweep over rows with one over columns, for a vector of channels of an image."""

    rows: Sweep
    columns: Sweep
    image: Index
    channel: Index


def _emit_pass(b: Builder, addresses: Addresses, stage: Depthwise, over: _Pass, first: Index) -> None:
    """Write a band of the pixels of one pass."""
    rows, columns = over.rows, over.columns
    whole = isinstance(stage.x, Rounded)
    filters = b.at(addresses.panels(stage.weights), b.mul(over.channel, stage.weights.rows), I8 if whole else F32)
    initial, high = b.splat(0.0), None
    if stage.bias is not None and whole:
        initial, high = _halves_of_bias(b, b.load(addresses.operand(stage.bias), over.channel, kind=b.vector_i32))
    elif stage.bias is not None:
        initial = b.load(addresses.operand(stage.bias), over.channel)
    of_x, of_y = (vector_of(b, tensor, 0, over.channel) for tensor in (stage.x, stage.y))
    last = rows.pixels if stage.bands == 1 else b.minimum(b.add(first, stage.band), rows.pixels)

    def weight(j: Index, s: int) -> IrValue:
        tap = b.add(b.mul(b.add(b.mul(j, rows.tap_step), rows.first_tap), stage.width), _tap(columns, s))
        if whole:
            return widened(b, load_bytes(b, filters, b.mul(tap, b.lanes)), signed=True)
        return b.load(filters, b.mul(tap, b.lanes))

    unrolled = rows.taps * columns.taps <= UNROLLED_TAPS
    # Loaded here, they stay where they are for the whole band.
    near = {}
    if unrolled and rows.taps * columns.taps + stage.together < b.target.registers:
        near = {(j, s): weight(j, s) for j in range(rows.taps) for s in range(columns.taps)}
    with b.loop(first, last) as (iteration, _):
        row = b.add(b.mul(iteration, rows.stride), rows.origin)
        to_row = b.add(b.mul(iteration, rows.step), rows.first)
        for start, size in _tiles(b, columns.pixels, stage.together):
            column = b.add(b.mul(start, columns.stride), columns.origin)
            images = addresses.tensor(stage.x)
            read = b.at(images, b.add(pixel(b, stage.x, over.image, row, column), of_x), element(stage.x))

            def tap_row(sums: list[IrValue], j: Index, size: int = size, read: IrValue = read) -> None:
                line = b.at(read, b.mul(j, rows.reach * stage.x.row_step), element(stage.x))
                for place, meeting in columns.met(size):
                    value = load_from(b, stage.x, line, place * stage.x.pitch)
                    for i, s in meeting:
                        factor = near[j, s] if near else weight(j, s)
                        sums[i] = b.multiply_add(value, factor, sums[i])

            sums = [initial] * size
            if unrolled:
                for j in range(rows.taps):
                    tap_row(sums, j)
            else:
                with b.loop(0, rows.taps, sums) as (j, carried):
                    tap_row(carried, j)
                sums = carried
            for i, total in enumerate(sums):
                to_column = b.add(b.mul(b.add(start, i), columns.step), columns.first)
                spot = Spot(over.image, to_row, to_column, over.channel)
                total = total if high is None else b.ir.fadd(total, high)
                done = finished(b, addresses, stage.epilogue, total, spot, stage.y.channels)
                made = addresses.tensor(stage.y)
                store_to(b, done, stage.y, made, b.add(pixel(b, stage.y, over.image, to_row, to_column), of_y))


def _halves_of_bias(b: Builder, bias: IrValue) -> tuple[IrValue, IrValue]:
    """Return two numbers of float32 that add up to a bias: what sums of products begin with, which float32 holds
    exactly, and a multiple of `LOW_BIAS`, which is added in the end, in the only rounding.
    """
    low = b.ir.and_(bias, b.splat_i32(LOW_BIAS - 1))
    return b.ir.sitofp(low, b.vector), b.ir.sitofp(b.ir.sub(bias, low), b.vector)


def _tap(sweep: Sweep, iteration: int) -> int:
    return sweep.first_tap + iteration * sweep.tap_step


def _tiles(b: Builder, extent: int, most: int) -> Iterator[tuple[Index, int]]:
    """Write a loop over the tiles of a row: where each begins, and its size."""
    for number, size, before in _tile_sizes(extent, most):
        if number == 1:
            yield before, size
        elif number:
            with b.loop(0, number) as (part, _):
                yield b.add(b.mul(part, size), before), size


def _tile_sizes(extent: int, most: int) -> tuple[tuple[int, int, int], ...]:
    """Cut a row into nearly equal tiles of at most so many pixels: how many there are of either size, the size, and
    where the first one begins.
    """
    parts = -(-extent // most)
    short, longer = divmod(extent, parts)
    return (longer, short + 1, 0), (parts - longer, short, longer * (short + 1))


def emit_depthwise_gradient(
    b: Builder, addresses: Addresses, stage: DepthwiseGradient, low: Index, high: Index
) -> None:
    """Add up bands of images for vectors of channels: the bands outermost, so that they stay near."""
    images = stage.dy.images // stage.slices
    with b.loop(0, images) as (number, _), b.loop(0, stage.bands) as (part, _), b.loop(low, high) as (item, _):
        slice_, vector = b.divmod(item, stage.vectors)
        image = b.add(b.mul(slice_, images), number)
        before = b.add(number, part)
        if stage.accumulates and addresses.block is not None:
            before = b.add(before, addresses.block.number)
        begins = b.less(before, 1)
        channel = b.mul(vector, b.lanes)
        out = b.at(addresses.operand(stage.out), b.add(b.mul(slice_, stage.step), b.mul(channel, stage.window.cells)))

        def add(place: IrValue, offset: Index, total: IrValue, begins: IrValue = begins) -> None:
            left = b.ir.select(begins, b.splat(0.0), b.load(place, offset))
            b.store(b.ir.fadd(left, total), place, offset)

        first = b.mul(part, stage.band)
        last = stage.dy.height if stage.bands == 1 else b.minimum(b.add(first, stage.band), stage.dy.height)
        band = _Band(image, channel, first, last)
        width = stage.window.horizontal.kernel
        biased = stage.bias is not None
        for taps in _chunks(stage):
            totals = _summed(b, addresses, stage, band, taps, biased=biased)
            for (r, s), total in zip(taps, totals, strict=False):
                add(out, (r * width + s) * b.lanes, total)
            if biased:
                assert stage.bias is not None
                add(b.at(addresses.operand(stage.bias), b.add(b.mul(slice_, stage.step), channel)), 0, totals[-1])
            biased = False


@dataclass(frozen=True, slots=True)
class _Band:
    """Rows of dy of an image, and a vector of channels."""

    image: Index
    channel: Index
    first: Index
    last: Index


def _chunks(stage: DepthwiseGradient) -> Iterator[list[tuple[int, int]]]:
    """Cut a filter into rectangles of taps whose sums fit the registers."""
    rows, columns = stage.window.vertical.kernel, stage.window.horizontal.kernel
    for top, down in _cut(rows, max(1, stage.sums // columns)):
        for left, across in _cut(columns, stage.sums):
            yield list(product(range(top, top + down), range(left, left + across)))


def _cut(extent: int, most: int) -> Iterator[tuple[int, int]]:
    """Cut an extent into nearly equal runs: where each begins, and how long it is."""
    parts = -(-extent // most)
    for part in range(parts):
        begin, end = extent * part // parts, extent * (part + 1) // parts
        yield begin, end - begin


def _summed(
    b: Builder,
    addresses: Addresses,
    stage: DepthwiseGradient,
    band: _Band,
    taps: Sequence[tuple[int, int]],
    *,
    biased: bool,
) -> list[IrValue]:
    """Return x · dy of some taps, added up over a band; behind them dy itself, if the bias wants it."""
    rows, columns = forward_sweep(stage.window.vertical), forward_sweep(stage.window.horizontal)
    tap_rows = sorted({r for r, _ in taps})
    of_x, of_dy = (vector_of(b, tensor, 0, band.channel) for tensor in (stage.x, stage.dy))

    def tile(sums: list[IrValue], row: Index, start: Index, size: int) -> list[IrValue]:
        sums = list(sums)
        left = b.add(b.mul(start, columns.stride), columns.origin)
        top = b.add(b.mul(row, rows.stride), rows.origin)
        gradients = addresses.tensor(stage.dy)
        dy = b.at(gradients, b.add(pixel(b, stage.dy, band.image, row, start), of_dy), element(stage.dy))
        images = addresses.tensor(stage.x)
        x = b.at(images, b.add(pixel(b, stage.x, band.image, top, left), of_x), element(stage.x))
        slopes = [load_from(b, stage.dy, dy, i * stage.dy.pitch) for i in range(size)]
        for place, meeting in columns.met(size):
            for r in tap_rows:
                value = None
                for i, s in meeting:
                    if (r, s) not in numbers:
                        continue
                    if value is None:
                        there = r * rows.reach * stage.x.row_step + place * stage.x.pitch
                        value = load_from(b, stage.x, x, there)
                    number = numbers[r, s]
                    sums[number] = b.multiply_add(value, slopes[i], sums[number])
        if biased:
            for slope in slopes:
                sums[-1] = b.ir.fadd(sums[-1], slope)
        return sums

    numbers = {tap: number for number, tap in enumerate(taps)}
    with b.loop(band.first, band.last, [b.splat(0.0)] * (len(taps) + biased)) as (row, outer):
        sums = list(outer)
        for number, size, before in _tile_sizes(stage.dy.width, stage.together):
            if number == 1:
                sums = tile(sums, row, before, size)
            elif number:
                with b.loop(0, number, sums) as (part, carried):
                    carried[:] = tile(carried, row, b.add(b.mul(part, size), before), size)
                sums = carried
        outer[:] = sums
    return outer


EMITTERS: Emitters = {Depthwise: emit_depthwise, DepthwiseGradient: emit_depthwise_gradient}
