"""Pooling, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from neocog.emit.addresses import Addresses, pixel
from neocog.emit.argmax import load_argmax, mask_type, stopped, store_argmax
from neocog.emit.builder import F32, I16, Builder, Index, IrValue, float_bits
from neocog.emit.emitter import Emitters
from neocog.emit.half import clear_around, clear_position, fill_up, load_from, store_to, vector_of
from neocog.emit.pointwise import Spot, apply, position
from neocog.nn.window import EvenAxis, EvenWindow, Window, WindowAxis
from neocog.plan.blocked import PLANE, Blocked
from neocog.plan.layout import Tensor
from neocog.plan.ops.pool import Pool, PoolBackward

UNROLL_CELLS = 9  # windows of at most this many cells, never touching padding, are written out
LOOPED_VECTORS = 4  # vectors of channels that a loop over the cells of a larger window takes along


def bounds_of(b: Builder, axis: WindowAxis | EvenAxis, output: Index) -> tuple[Index, Index, Index]:
    """Return the first pixel that a window's first tap meets (maybe in the padding), and its first and last tap + 1
    inside the image.
    """
    if isinstance(axis, EvenAxis):
        if not axis.overlaps:
            return b.mul(output, axis.kernel), 0, axis.kernel
        moved = b.mul(output, axis.input)
        start, _ = b.divmod(moved, axis.output)
        behind, _ = b.divmod(b.add(moved, axis.input + axis.output - 1), axis.output)
        return start, 0, b.sub(behind, start)
    start = b.add(b.mul(output, axis.stride), -axis.before)
    if axis.before == 0 and (axis.output - 1) * axis.stride + axis.kernel <= axis.input:
        return start, 0, axis.kernel
    first = b.maximum(0, b.ir.sub(b.index(0), b.index(start)))
    last = b.minimum(axis.kernel, b.ir.sub(b.index(axis.input), b.index(start)))
    return start, first, last


def share_of(b: Builder, stage: Pool | PoolBackward, row: Index, column: Index) -> IrValue:
    """Return 1 by the number of cells of a window that count, in every lane."""
    counted: Window | EvenWindow = stage.counted or stage.window
    if stage.counted is None and isinstance(stage.window, Window):
        return b.splat(1.0 / stage.window.cells)
    sizes = []
    for axis, output in ((counted.vertical, row), (counted.horizontal, column)):
        _, first, last = bounds_of(b, axis, output)
        sizes.append(b.sub(last, first))
    cells = b.mul(*sizes)
    return b.splat(1.0 / cells if isinstance(cells, int) else b.ir.fdiv(float_bits(1.0), b.ir.sitofp(cells, F32)))


@contextmanager
def over_cells(
    b: Builder, rows: tuple[Index, Index], columns: tuple[Index, Index], carry: list[IrValue]
) -> Iterator[tuple[Index, Index, list[IrValue]]]:
    """Loop over the cells of a window, row by row."""
    with b.loop(rows[0], rows[1], carry) as (r, outer), ExitStack() as stack:
        s, inner = stack.enter_context(b.loop(columns[0], columns[1], outer))
        yield r, s, inner
        stack.close()
        outer[:] = inner
    carry[:] = outer


def emit_pool(b: Builder, addresses: Addresses, stage: Pool, low: IrValue, high: IrValue) -> None:
    """Write rows of the pooled images: the largest or the mean of each window, and which cell was the largest."""
    vertical, horizontal = stage.window.vertical, stage.window.horizontal
    vectors = -(-stage.y.channels // b.lanes)
    # A loop over cells waits for each comparison before the next one, unless it has other channels to go on with.
    together = 1 if stage.window.cells <= UNROLL_CELLS else min(vectors, LOOPED_VECTORS)
    if isinstance(stage.x, Blocked):
        together = 1  # some may lie in another plane
    whole, rest = divmod(vectors, together)
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, stage.y.height)
        top, first_row, last_row = bounds_of(b, vertical, row)
        with b.loop(0, stage.y.width) as (column, _):
            left, first_column, last_column = bounds_of(b, horizontal, column)
            corner = pixel(b, stage.x, image, top, left)
            place = image, row, column
            bounds = (first_row, last_row), (first_column, last_column)
            with b.loop(0, whole) as (group, _):
                channel = b.mul(group, together * b.lanes)
                source = vector_of(b, stage.x, corner, channel)
                _pool_window(b, addresses, stage, place, source, channel, together, bounds)
            if rest:
                channel = whole * together * b.lanes
                source = vector_of(b, stage.x, corner, channel)
                _pool_window(b, addresses, stage, place, source, channel, rest, bounds)
            if isinstance(stage.y, Blocked):
                fill_up(b, addresses.tensor(stage.y), stage.y, pixel(b, stage.y, *place), stage.y.channels)
        if isinstance(stage.y, Blocked):
            clear_around(b, addresses.tensor(stage.y), stage.y, image, row)


def _pool_window(
    b: Builder,
    addresses: Addresses,
    stage: Pool,
    place: tuple[Index, Index, Index],
    source: Index,
    channel: Index,
    vectors: int,
    bounds: tuple[tuple[Index, Index], tuple[Index, Index]],
) -> None:
    """Write some vectors of channels of one window, whose first cell lies at `source` in x."""
    x, y = addresses.tensor(stage.x), addresses.tensor(stage.y)
    vertical, horizontal = stage.window.vertical, stage.window.horizontal
    values = [b.splat(float("-inf") if stage.largest else 0.0)] * vectors
    if stage.mask is not None:
        values += [b.splat_i32(0)] * vectors

    def visit(r: Index, s: Index, values: list[IrValue]) -> None:
        cell = b.add(source, b.add(b.mul(r, stage.x.row_step), b.mul(s, stage.x.pitch)))
        for v in range(vectors):
            value = load_from(b, stage.x, x, b.add(cell, v * b.lanes))
            if not stage.largest:
                values[v] = b.ir.fadd(values[v], value)
                continue
            better = b.ir.fcmp_ordered(">", value, values[v])
            better = b.ir.or_(better, b.ir.fcmp_unordered("uno", value, value))
            values[v] = b.ir.select(better, value, values[v])
            if stage.mask is not None:
                number = b.add(b.mul(r, horizontal.kernel), s)
                values[vectors + v] = b.ir.select(better, b.splat_i32(number), values[vectors + v])

    rows, columns = bounds
    if all(isinstance(bound, int) for bound in (*rows, *columns)) and stage.window.cells <= UNROLL_CELLS:
        for r in range(vertical.kernel):
            for s in range(horizontal.kernel):
                visit(r, s, values)
    else:
        with over_cells(b, rows, columns, values) as (r, s, carried):
            visit(r, s, carried)
    share = None if stage.largest else share_of(b, stage, *place[1:])
    for v in range(vectors):
        result = values[v]
        if share is not None:
            result = b.ir.fmul(result, share)
        at = b.add(channel, v * b.lanes)
        store_to(b, result, stage.y, y, vector_of(b, stage.y, pixel(b, stage.y, *place), at))
        if stage.mask is not None:
            argmax = stopped(b, result, values[vectors + v]) if stage.clamped else values[vectors + v]
            to = b.add(pixel(b, stage.mask, *place), at)
            kind = mask_type(stage.mask)
            store_argmax(b, argmax, b.at(addresses.tensor(stage.mask), to, kind), kind)


def emit_pool_backward(b: Builder, addresses: Addresses, stage: PoolBackward, low: IrValue, high: IrValue) -> None:
    """Write the gradient of the pooled image's input.

    Windows apart: each writes all of its cells, and pixels that no window sees keep the zeros that they were made
    with. Windows that overlap: the image is cleared, then each window adds to its cells, in row-major order. Images of
    bfloat16 have no zeros that they keep: those around their rows are written with these, and where there are pixels
    that no window sees, the image is cleared as well. Where windows overlap in them, each pixel adds up what those over
    it send, in that order too.
    """
    if stage.gathers:
        with b.loop(low, high) as (item, _):
            image, row = b.divmod(item, stage.dx.height)
            _gather_row(b, addresses, stage, image, row)
        return
    if not stage.clears:
        with b.loop(low, high) as (item, _):
            image, row = b.divmod(item, stage.dy.height)
            _scatter_row(b, addresses, stage, image, row)
            if isinstance(stage.dx, Blocked):
                _surround_rows(b, addresses, stage, stage.dx, image, row)
        return
    with b.loop(low, high) as (image, _):
        _clear_image(b, addresses, stage.dx, image)
        with b.loop(0, stage.dy.height) as (row, _):
            _scatter_row(b, addresses, stage, image, row)


def _surround_rows(
    b: Builder, addresses: Addresses, stage: PoolBackward, dx: Blocked, image: Index, row: Index
) -> None:
    """Write the zeros around the rows that a row of windows lies in, and those behind the channels of their pixels."""
    base = addresses.tensor(dx)
    top, first, last = bounds_of(b, stage.window.vertical, row)
    with b.loop(first, last) as (r, _):
        line = b.add(top, r)
        clear_around(b, base, dx, image, line)
        if -(-dx.channels // b.lanes) * b.lanes < dx.planes * PLANE:
            with b.loop(0, dx.width) as (column, _):
                fill_up(b, base, dx, pixel(b, dx, image, line, column), dx.channels)


def _clear_image(b: Builder, addresses: Addresses, tensor: Tensor, image: Index) -> None:
    base = addresses.tensor(tensor)
    if isinstance(tensor, Blocked):
        whole = b.at(addresses.whole(tensor), b.mul(image, tensor.image_step), I16)
        with b.loop(0, tensor.image_step // PLANE) as (number, _):
            clear_position(b, whole, b.mul(number, PLANE))
        return
    with b.loop(0, tensor.height) as (row, _):
        start = pixel(b, tensor, image, row, 0)
        with b.loop(0, tensor.width * tensor.pitch // b.lanes) as (vector, _):
            b.store(b.splat(0.0), base, b.add(start, b.mul(vector, b.lanes)))


def _scatter_row(b: Builder, addresses: Addresses, stage: PoolBackward, image: Index, row: Index) -> None:
    dy, dx = addresses.tensor(stage.dy), addresses.tensor(stage.dx)
    vertical, horizontal = stage.window.vertical, stage.window.horizontal
    top, first_row, last_row = bounds_of(b, vertical, row)
    with b.loop(0, stage.dy.width) as (column, _):
        left, first_column, last_column = bounds_of(b, horizontal, column)
        source = pixel(b, stage.dy, image, row, column)
        with b.loop(0, -(-stage.dy.channels // b.lanes)) as (vector, _):
            channel = b.mul(vector, b.lanes)
            value = load_from(b, stage.dy, dy, vector_of(b, stage.dy, source, channel))
            argmax = None
            if stage.mask is not None:
                at = b.add(pixel(b, stage.mask, image, row, column), channel)
                kind = mask_type(stage.mask)
                argmax = load_argmax(b, b.at(addresses.tensor(stage.mask), at, kind), kind)
            else:
                value = b.ir.fmul(value, share_of(b, stage, row, column))

            def visit(
                r: Index, s: Index, value: IrValue = value, argmax: IrValue = argmax, channel: Index = channel
            ) -> None:
                spot = Spot(image, b.add(top, r), b.add(left, s), channel)
                at = position(b, stage.dx, spot)
                share = value
                if argmax is not None:
                    place = b.splat_i32(b.add(b.mul(r, horizontal.kernel), s))
                    share = b.ir.select(b.ir.icmp_signed("==", argmax, place), value, b.splat(0.0))
                share = apply(b, addresses, stage.epilogue, share, spot)
                if stage.overlapping:
                    share = b.ir.fadd(share, b.load(dx, at))
                store_to(b, share, stage.dx, dx, at)

            bounds = (first_row, last_row, first_column, last_column)
            if all(isinstance(bound, int) for bound in bounds) and stage.window.cells <= UNROLL_CELLS:
                for r in range(vertical.kernel):
                    for s in range(horizontal.kernel):
                        visit(r, s)
            else:
                with over_cells(b, (first_row, last_row), (first_column, last_column), []) as (r, s, _):
                    visit(r, s)


def _gather_row(b: Builder, addresses: Addresses, stage: PoolBackward, image: Index, row: Index) -> None:
    """Write a row of the gradient in planes, and the zeros around it."""
    dx = stage.dx
    assert isinstance(dx, Blocked)
    assert isinstance(stage.window, Window)
    base = addresses.tensor(dx)
    whole, rest = divmod(dx.channels, PLANE)
    rows = _windows_over(b, stage.window.vertical, row)
    with b.loop(0, dx.width) as (column, _):
        columns = _windows_over(b, stage.window.horizontal, column)

        def write(channel: Index, vectors: int, column: Index = column, columns: tuple[Index, Index] = columns) -> None:
            totals = _gathered(b, addresses, stage, (image, row, column), channel, vectors, (rows, columns))
            for n, total in enumerate(totals):
                spot = Spot(image, row, column, b.add(channel, n * b.lanes))
                store_to(b, apply(b, addresses, stage.epilogue, total, spot), dx, base, position(b, dx, spot))

        with b.loop(0, whole) as (plane, _):
            write(b.mul(plane, PLANE), PLANE // b.lanes)
        if rest:
            write(whole * PLANE, -(-rest // b.lanes))
            fill_up(b, base, dx, pixel(b, dx, image, row, column), dx.channels)
    clear_around(b, base, dx, image, row)


def _windows_over(b: Builder, axis: WindowAxis, place: Index) -> tuple[Index, Index]:
    """Return the first window that a pixel lies in, and the one behind the last."""
    inside = b.add(place, axis.before)
    first, _ = b.divmod(b.maximum(0, b.add(inside, axis.stride - axis.kernel)), axis.stride)
    last, _ = b.divmod(inside, axis.stride)
    return first, b.minimum(b.add(last, 1), axis.output)


def _gathered(
    b: Builder,
    addresses: Addresses,
    stage: PoolBackward,
    place: tuple[Index, Index, Index],
    channel: Index,
    vectors: int,
    windows: tuple[tuple[Index, Index], tuple[Index, Index]],
) -> list[IrValue]:
    """Return what some windows, from a first to a last one down and across, send to some vectors of a pixel."""
    (image, row, column), (rows, columns) = place, windows
    vertical, horizontal = stage.window.vertical, stage.window.horizontal
    assert isinstance(vertical, WindowAxis)
    assert isinstance(horizontal, WindowAxis)
    dy, totals = addresses.tensor(stage.dy), [b.splat(0.0)] * vectors
    with over_cells(b, rows, columns, totals) as (p, q, sums):
        r = b.sub(b.add(row, vertical.before), b.mul(p, vertical.stride))
        s = b.sub(b.add(column, horizontal.before), b.mul(q, horizontal.stride))
        number = b.splat_i32(b.add(b.mul(r, horizontal.kernel), s))
        source = pixel(b, stage.dy, image, p, q)
        for n in range(vectors):
            at = b.add(channel, n * b.lanes)
            value = load_from(b, stage.dy, dy, vector_of(b, stage.dy, source, at))
            if stage.mask is None:
                value = b.ir.fmul(value, share_of(b, stage, p, q))
            else:
                kind = mask_type(stage.mask)
                marked = b.add(pixel(b, stage.mask, image, p, q), at)
                argmax = load_argmax(b, b.at(addresses.tensor(stage.mask), marked, kind), kind)
                value = b.ir.select(b.ir.icmp_signed("==", argmax, number), value, b.splat(0.0))
            sums[n] = b.ir.fadd(sums[n], value)
    return totals


EMITTERS: Emitters = {Pool: emit_pool, PoolBackward: emit_pool_backward}
