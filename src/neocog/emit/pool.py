"""Pooling, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from neocog.emit.builder import Builder, Index, Value
from neocog.emit.memory import Memory, pixel
from neocog.emit.winner import load_winner, stopped, store_winner, winner_type
from neocog.model.window import Axis
from neocog.plan.layout import Tensor
from neocog.plan.stages import Pool, PoolBackward

UNROLL_CELLS = 9  # windows of at most this many cells, never touching padding, are written out


def _bounds(b: Builder, axis: Axis, output: Index) -> tuple[Index, Index, Index]:
    """Give the first pixel that a window's first tap meets (maybe in the padding), and its first and last tap + 1
    inside the image.
    """
    start = b.add(b.mul(output, axis.stride), -axis.before)
    if axis.before == 0 and (axis.output - 1) * axis.stride + axis.kernel <= axis.input:
        return start, 0, axis.kernel
    first = b.maximum(0, b.ir.sub(b.index(0), b.index(start)))
    last = b.minimum(axis.kernel, b.ir.sub(b.index(axis.input), b.index(start)))
    return start, first, last


@contextmanager
def _cells(
    b: Builder, rows: tuple[Index, Index], columns: tuple[Index, Index], carry: list[Value]
) -> Iterator[tuple[Index, Index, list[Value]]]:
    """Loop over the cells of a window, row by row."""
    with b.loop(rows[0], rows[1], carry) as (r, outer), ExitStack() as stack:
        s, inner = stack.enter_context(b.loop(columns[0], columns[1], outer))
        yield r, s, inner
        stack.close()
        outer[:] = inner
    carry[:] = outer


def emit_pool(b: Builder, memory: Memory, stage: Pool, low: Value, high: Value) -> None:
    """Write rows of the pooled images: the largest or the mean of each window, and the winner's place in it."""
    x, y = memory.tensor(stage.x), memory.tensor(stage.y)
    vertical, horizontal = stage.window.vertical, stage.window.horizontal
    with b.loop(low, high) as (item, _):
        image, row = b.divmod(item, stage.y.height)
        top, first_row, last_row = _bounds(b, vertical, row)
        with b.loop(0, stage.y.width) as (column, _):
            left, first_column, last_column = _bounds(b, horizontal, column)
            corner = pixel(b, stage.x, image, top, left)
            to = pixel(b, stage.y, image, row, column)
            with b.loop(0, -(-stage.y.channels // b.lanes)) as (vector, _):
                channel = b.mul(vector, b.lanes)
                start = b.splat(float("-inf") if stage.largest else 0.0)
                values = [start]
                if stage.winner is not None:
                    values.append(b.splat_i32(0))

                def visit(r: Index, s: Index, values: list[Value], source: Index) -> None:
                    at = b.add(source, b.add(b.mul(r, stage.x.row_step), b.mul(s, stage.x.pitch)))
                    value = b.load(x, at)
                    if not stage.largest:
                        values[0] = b.ir.fadd(values[0], value)
                        return
                    better = b.ir.fcmp_ordered(">", value, values[0])
                    better = b.ir.or_(better, b.ir.fcmp_unordered("uno", value, value))
                    values[0] = b.ir.select(better, value, values[0])
                    if stage.winner is not None:
                        place = b.add(b.mul(r, horizontal.kernel), s)
                        values[1] = b.ir.select(better, b.splat_i32(place), values[1])

                source = b.add(corner, channel)
                bounds = (first_row, last_row, first_column, last_column)
                if all(isinstance(bound, int) for bound in bounds) and stage.window.cells <= UNROLL_CELLS:
                    for r in range(vertical.kernel):
                        for s in range(horizontal.kernel):
                            visit(r, s, values, source)
                else:
                    with _cells(b, (first_row, last_row), (first_column, last_column), values) as (r, s, carried):
                        visit(r, s, carried, source)
                result = values[0]
                if not stage.largest:
                    result = b.ir.fmul(result, b.splat(1.0 / stage.window.cells))
                b.store(result, y, b.add(to, channel))
                if stage.winner is not None:
                    winner = stopped(b, result, values[1]) if stage.gated else values[1]
                    at = b.add(pixel(b, stage.winner, image, row, column), channel)
                    kind = winner_type(stage.winner)
                    store_winner(b, winner, b.at(memory.tensor(stage.winner), at, kind), kind)


def emit_pool_backward(b: Builder, memory: Memory, stage: PoolBackward, low: Value, high: Value) -> None:
    """Write the gradient of the pooled image's input.

    Windows apart: each writes all of its cells, and pixels that no window sees keep the zeros that they were made
    with. Windows that overlap: the image is cleared, then each window adds to its cells, in row-major order.
    """
    if not stage.overlapping:
        with b.loop(low, high) as (item, _):
            image, row = b.divmod(item, stage.dy.height)
            _scatter_row(b, memory, stage, image, row)
        return
    with b.loop(low, high) as (image, _):
        _clear_image(b, memory, stage.dx, image)
        with b.loop(0, stage.dy.height) as (row, _):
            _scatter_row(b, memory, stage, image, row)


def _clear_image(b: Builder, memory: Memory, tensor: Tensor, image: Index) -> None:
    base = memory.tensor(tensor)
    with b.loop(0, tensor.height) as (row, _):
        start = pixel(b, tensor, image, row, 0)
        with b.loop(0, tensor.width * tensor.pitch // b.lanes) as (vector, _):
            b.store(b.splat(0.0), base, b.add(start, b.mul(vector, b.lanes)))


def _scatter_row(b: Builder, memory: Memory, stage: PoolBackward, image: Index, row: Index) -> None:
    dy, dx, gate = memory.tensor(stage.dy), memory.tensor(stage.dx), stage.gate
    vertical, horizontal = stage.window.vertical, stage.window.horizontal
    top, first_row, last_row = _bounds(b, vertical, row)
    with b.loop(0, stage.dy.width) as (column, _):
        left, first_column, last_column = _bounds(b, horizontal, column)
        source = pixel(b, stage.dy, image, row, column)
        with b.loop(0, -(-stage.dy.channels // b.lanes)) as (vector, _):
            channel = b.mul(vector, b.lanes)
            value = b.load(dy, b.add(source, channel))
            winner = None
            if stage.winner is not None:
                at = b.add(pixel(b, stage.winner, image, row, column), channel)
                kind = winner_type(stage.winner)
                winner = load_winner(b, b.at(memory.tensor(stage.winner), at, kind), kind)
            else:
                value = b.ir.fmul(value, b.splat(1.0 / stage.window.cells))

            def visit(
                r: Index, s: Index, value: Value = value, winner: Value = winner, channel: Index = channel
            ) -> None:
                at = b.add(pixel(b, stage.dx, image, b.add(top, r), b.add(left, s)), channel)
                share = value
                if winner is not None:
                    place = b.splat_i32(b.add(b.mul(r, horizontal.kernel), s))
                    share = b.ir.select(b.ir.icmp_signed("==", winner, place), value, b.splat(0.0))
                if gate is not None:
                    seen = b.add(pixel(b, gate, image, b.add(top, r), b.add(left, s)), channel)
                    share = b.gated(share, b.load(memory.tensor(gate), seen))
                if stage.overlapping:
                    share = b.ir.fadd(share, b.load(dx, at))
                b.store(share, dx, at)

            bounds = (first_row, last_row, first_column, last_column)
            if all(isinstance(bound, int) for bound in bounds) and stage.window.cells <= UNROLL_CELLS:
                for r in range(vertical.kernel):
                    for s in range(horizontal.kernel):
                        visit(r, s)
            else:
                with _cells(b, (first_row, last_row), (first_column, last_column), []) as (r, s, _):
                    visit(r, s)
