"""Lengths of portions of flat arrays, and the steps of parameters that move as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from llvmlite import ir

from neocog.emit.addresses import Addresses
from neocog.emit.builder import I64, PTR, Builder, Index, IrValue, float_bits
from neocog.emit.channels import across_lanes
from neocog.emit.emitter import Emitters
from neocog.emit.optimizers import moved
from neocog.emit.update import follow, own_rate, step_arguments, within
from neocog.plan.layout import Operand
from neocog.plan.ops.directions import Divide, Lengths, Move, Polynomial, Squares
from neocog.plan.ops.portion import ITEM_ELEMENTS, Portion

F64 = ir.DoubleType()


def _chunks(
    b: Builder, portions: Sequence[Portion], low: IrValue, high: IrValue
) -> Iterator[tuple[int, int, Index, Index]]:
    """Yield each portion's number, the item of its first chunk, and which of its chunks the items low ≤ item < high
    cover.
    """
    first = 0
    for number, portion in enumerate(portions):
        begin = b.maximum(0, b.sub(low, first))
        yield number, first, begin, b.minimum(portion.chunks, b.sub(high, first))
        first += portion.chunks


@contextmanager
def _vectors(b: Builder, portion: Portion, begin: Index, end: Index) -> Iterator[Index]:
    """Write a loop over the vectors of some chunks of a portion; yield where each lies, elements."""
    vectors = ITEM_ELEMENTS // b.lanes
    with b.loop(b.mul(begin, vectors), b.minimum(b.mul(end, vectors), portion.size // b.lanes)) as (vector, _):
        yield b.add(b.mul(vector, b.lanes), portion.first)


def emit_squares(b: Builder, addresses: Addresses, stage: Squares, low: IrValue, high: IrValue) -> None:
    """Write Σ x² of some chunks."""
    values, out = addresses.operand(stage.values), addresses.operand(stage.out)
    sums = _sum_of_squares(b, stage.limit)
    vectors = ITEM_ELEMENTS // b.lanes
    for number, item, begin, end in _chunks(b, stage.portions, low, high):
        portion = stage.portions[number]
        with b.loop(begin, end) as (chunk, _):
            first = b.mul(chunk, vectors)
            count = b.minimum(vectors, b.sub(portion.size // b.lanes, first))
            from_ = b.at(values, b.add(b.mul(first, b.lanes), portion.first))
            b.ir.call(sums, [from_, b.at(out, b.mul(b.add(chunk, item), b.lanes)), b.index(count)])


def _shared(b: Builder, name: str) -> tuple[ir.Function, Builder | None]:
    """Return `void NAME(ptr from, ptr to, i64 vectors)`, which all portions share, and the builder to write it with."""
    found = b.function.module.globals.get(name)
    if found is not None:
        return found, None
    function = ir.Function(b.function.module, ir.FunctionType(ir.VoidType(), [PTR, PTR, I64]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    return function, Builder(function, b.target)


def _sum_of_squares(b: Builder, limit: float | None) -> ir.Function:
    function, inside = _shared(b, "sum_of_squares" if limit is None else "sum_of_squares_within")
    if inside is not None:
        from_, to, vectors = function.args
        with inside.loop(0, vectors, [inside.splat(0.0)]) as (vector, total):
            x = within(inside, limit, inside.load(from_, inside.mul(vector, b.lanes)))
            total[0] = inside.multiply_add(x, x, total[0])
        inside.store(total[0], to)
        inside.ir.ret_void()
    return function


def emit_lengths(b: Builder, addresses: Addresses, stage: Lengths, low: IrValue, high: IrValue) -> None:
    """Write √ of the sums of each portion."""
    squares, out, first = addresses.operand(stage.squares), addresses.operand(stage.out), 0
    length = _length(b)
    with b.loop(low, high):
        for number, chunks in enumerate(stage.chunks):
            from_, to = b.at(squares, first * b.lanes), b.at(out, number * b.lanes)
            b.ir.call(length, [from_, to, b.index(chunks)])
            first += chunks


def _length(b: Builder) -> ir.Function:
    function, inside = _shared(b, "length")
    if inside is not None:
        from_, to, vectors = function.args
        wide = ir.VectorType(F64, b.lanes)
        with inside.loop(0, vectors, [inside.like(ir.Constant(wide, None), 0.0)]) as (vector, total):
            x = inside.load(from_, inside.mul(vector, b.lanes))
            total[0] = inside.ir.fadd(total[0], inside.ir.fpext(x, wide))
        whole = across_lanes(inside, inside.ir.fptrunc(total[0], inside.vector), inside.ir.fadd)
        inside.store(inside.intrinsic("llvm.sqrt", inside.vector, whole), to)
        inside.ir.ret_void()
    return function


def emit_divide(b: Builder, addresses: Addresses, stage: Divide, low: IrValue, high: IrValue) -> None:
    """Write x / max(length, least); a NaN stays a NaN."""
    values, lengths, out = (addresses.operand(part) for part in (stage.values, stage.lengths, stage.out))
    least = b.splat(stage.least)
    for number, _, begin, end in _chunks(b, stage.portions, low, high):
        length = b.load(lengths, number * b.lanes)
        length = b.ir.select(b.ir.fcmp_ordered("<", length, least), least, length)
        with _vectors(b, stage.portions[number], begin, end) as at:
            b.store(b.ir.fdiv(b.load(values, at), length), out, at)


def emit_polynomial(b: Builder, addresses: Addresses, stage: Polynomial, low: IrValue, high: IrValue) -> None:
    """Write a·1 + b·A + c·A², row by row."""
    matrix, square = addresses.panels(stage.matrix), addresses.panels(stage.square)
    first, second, third = stage.coefficients
    panels = stage.square
    with b.loop(low, high) as (row, _):
        with b.loop(0, panels.count) as (panel, _), b.loop(0, panels.width // b.lanes) as (vector, _):
            at = b.add(b.mul(panel, panels.panel_step), b.mul(row, panels.width))
            at = b.add(at, b.mul(vector, b.lanes))
            both = b.ir.fmul(b.splat(second), b.load(matrix, at))
            b.store(b.multiply_add(b.splat(third), b.load(square, at), both), square, at)
        panel, column = b.divmod(row, panels.width)
        at = b.add(b.add(b.mul(panel, panels.panel_step), b.mul(row, panels.width)), column)
        b.store_scalar(b.ir.fadd(b.load_scalar(square, at), float_bits(first)), square, at)


def emit_move(b: Builder, addresses: Addresses, stage: Move, low: IrValue, high: IrValue) -> None:
    """Write w after a step along its direction."""
    weights, directions = addresses.operand(stage.parameters), addresses.operand(stage.directions)
    slow = addresses.operand(stage.slow) if stage.slow else None
    rate, scalars = step_arguments(b, addresses, stage.scalars)
    for number, _, begin, end in _chunks(b, stage.portions, low, high):
        portion = stage.portions[number]
        scale = _scale(b, addresses, stage.lengths, number) if stage.lengths else b.splat(portion.scale)
        own = own_rate(b, addresses, portion.rule, rate)
        with _vectors(b, portion, begin, end) as at:
            step = b.ir.fmul(scale, b.load(directions, at))
            before = b.load(slow, at) if slow is not None else None
            w, after = moved(b, portion.rule.optimizer, b.load(weights, at), step, own, before, scalars)
            if slow is not None:
                b.store(after, slow, at)
            b.store(w, weights, at)
            follow(b, addresses, stage.followed, at, w)


def _scale(b: Builder, addresses: Addresses, lengths: Sequence[Operand], number: int) -> IrValue:
    """Return the length of weights over that of their direction; 1 where one of them is 0."""
    of_weights, of_direction = (b.load(addresses.operand(operand), number * b.lanes) for operand in lengths)
    ratio, one, zero = b.ir.fdiv(of_weights, of_direction), b.splat(1.0), b.splat(0.0)
    for length in (of_weights, of_direction):
        ratio = b.ir.select(b.ir.fcmp_ordered("==", length, zero), one, ratio)
    return ratio


EMITTERS: Emitters = {
    Squares: emit_squares,
    Lengths: emit_lengths,
    Divide: emit_divide,
    Polynomial: emit_polynomial,
    Move: emit_move,
}
