"""What happens to parameters and gradients as flat arrays: transposed copies, reduced partial sums, the optimizer."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from neocog.emit.addresses import Addresses
from neocog.emit.arithmetic import Vector
from neocog.emit.builder import F32, I64, PTR, Builder, Index, IrValue
from neocog.emit.emitter import Emitters
from neocog.emit.optimizers import direction, moved, penalised
from neocog.emit.slots import FIRST_SCALAR_SLOT, LEARNING_RATE_SLOT, STEP_SLOT
from neocog.nn.groups import CLIP_EPSILON, UpdateRule
from neocog.plan.ops.portion import ITEM_ELEMENTS, Portion
from neocog.plan.ops.update import Follow, Followed, ReducePartials, Transpose, Update


def emit_transpose(b: Builder, addresses: Addresses, stage: Transpose, low: IrValue, high: IrValue) -> None:
    """Write transposed[tap, filter][input] = weights[tap, input][filter], in squares of one vector a side."""
    source, transposed = addresses.panels(stage.weights), addresses.panels(stage.transposed)
    wide, lanes = stage.transposed.width, b.lanes
    filters = stage.weights.columns
    with b.loop(low, high) as (item, _):
        tap, panel = b.divmod(item, stage.transposed.count)
        to_tap = b.add(b.mul(panel, stage.transposed.panel_step), b.mul(tap, filters * wide))
        with b.loop(0, wide // lanes) as (vector, _):
            first = b.add(b.mul(panel, wide), b.mul(vector, lanes))
            inside = b.maximum(0, b.minimum(lanes, b.ir.sub(b.index(stage.inputs), b.index(first))))
            with b.loop(0, filters // lanes) as (square, _):
                filter_ = b.mul(square, lanes)
                from_ = _weight(b, stage, tap, first, filter_)
                to = b.add(b.add(to_tap, b.mul(filter_, wide)), b.mul(vector, lanes))
                full = b.less(lanes - 1, inside)
                with b.ir.if_else(full) as (whole, ragged):
                    with whole:
                        steps = b.index(stage.weights.width), b.index(wide)
                        b.ir.call(_square(b), [b.at(source, from_), b.at(transposed, to), *steps])
                    with ragged:
                        _transpose_values(b, stage, source, transposed, from_, to, inside, lanes)
            rest = filters % lanes
            if rest:
                filter_ = filters - rest
                from_ = _weight(b, stage, tap, first, filter_)
                to = b.add(b.add(to_tap, filter_ * wide), b.mul(vector, lanes))
                _transpose_values(b, stage, source, transposed, from_, to, inside, rest)


def _weight(b: Builder, stage: Transpose, tap: Index, channel: Index, filter_: Index) -> Index:
    panel, column = b.divmod(filter_, stage.weights.width)
    row = b.add(b.mul(tap, stage.inputs), channel)
    place = b.add(b.mul(panel, stage.weights.panel_step), b.mul(row, stage.weights.width))
    return b.add(place, column)


def _transpose_values(
    b: Builder,
    stage: Transpose,
    source: IrValue,
    transposed: IrValue,
    from_: Index,
    to: Index,
    inside: Index,
    filters: int,
) -> None:
    """Value by value, where a square reaches past the matrix; columns past it become zeros."""
    with b.loop(0, filters) as (k, _):
        row = b.add(to, b.mul(k, stage.transposed.width))
        b.store(b.splat(0.0), transposed, row)
        with b.loop(0, inside) as (c, _):
            value = b.load_scalar(source, b.add(b.add(from_, b.mul(c, stage.weights.width)), k))
            b.store_scalar(value, transposed, b.add(row, c))


def _square(b: Builder) -> ir.Function:
    """Return `void transpose_square(ptr from, ptr to, i64 from_step, i64 to_step)`, which transposes one square whose
    rows lie so many elements apart. All layers share it: LLVM takes longer to choose its shuffles than to compile all
    that is around them.
    """
    module, name = b.function.module, "transpose_square"
    found = module.globals.get(name)
    if found is not None:
        return found
    square = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, PTR, I64, I64]), name)
    square.linkage = "internal"
    within = Builder(square, b.target)
    source, transposed, from_step, to_step = square.args
    rows = [within.load(source, within.mul(from_step, n)) for n in range(b.lanes)]
    for n, row in enumerate(transposed_square(within, rows)):
        within.store(row, transposed, within.mul(to_step, n))
    within.ir.ret_void()
    return square


def transposed_square(b: Builder, rows: list[IrValue]) -> list[IrValue]:
    """Transpose a square in registers: swap halves, then quarters, and so on (Eklundh 1972)."""
    rows = list(rows)
    lanes = len(rows)
    half = lanes // 2
    while half:
        for first in range(lanes):
            if first & half:
                continue
            upper, lower = rows[first], rows[first + half]
            low = [lane if not lane & half else lanes + lane - half for lane in range(lanes)]
            high = [lane + half if not lane & half else lanes + lane for lane in range(lanes)]
            kind = b.vector_i32
            rows[first] = b.ir.shuffle_vector(upper, lower, ir.Constant(kind, low))
            rows[first + half] = b.ir.shuffle_vector(upper, lower, ir.Constant(kind, high))
        half //= 2
    return rows


def emit_reduce_partials(b: Builder, addresses: Addresses, stage: ReducePartials, low: IrValue, high: IrValue) -> None:
    """Write each part = copy 0 + copy 1 + …, in this order."""
    copies = addresses.operand(stage.copies)
    for part in stage.parts:
        out = addresses.operand(part.out)
        with b.loop(*_vectors(b, part, low, high)) as (vector, _):
            at = b.mul(vector, b.lanes)
            total = b.load(copies, at)
            for n in range(1, stage.count):
                total = b.ir.fadd(total, b.load(copies, b.add(at, n * stage.size)))
            b.store(total, out, b.add(at, -part.first))


def _vectors(b: Builder, portion: Portion, low: IrValue, high: IrValue) -> tuple[Index, Index]:
    """Return the vectors of a portion that the items low ≤ item < high cover, counted from where the array begins."""
    vectors, first = ITEM_ELEMENTS // b.lanes, portion.first // b.lanes
    start = b.mul(low, vectors) if first == 0 else b.maximum(b.mul(low, vectors), first)
    return start, b.minimum(b.mul(high, vectors), portion.end // b.lanes)


def emit_update(b: Builder, addresses: Addresses, stage: Update, low: IrValue, high: IrValue) -> None:
    """Write one step of the optimizer."""
    weights, gradients = addresses.operand(stage.parameters), addresses.operand(stage.gradients)
    slots = {name: addresses.operand(slot) for name, slot in zip(stage.slots, stage.memory, strict=True)}
    rate, scalars = step_arguments(b, addresses, stage.scalars)
    factor = _factor(b, stage.clip.norm, addresses.operand(stage.length)) if stage.length else None
    for range_ in stage.ranges:
        rule = range_.rule
        with b.loop(*_vectors(b, range_, low, high)) as (vector, _):
            at = b.mul(vector, b.lanes)
            w, before = b.load(weights, at), {name: b.load(slots[name], at) for name in rule.optimizer.memory}
            g = within(b, stage.clip.value, b.load(gradients, at))
            g = penalised(b, rule.penalty, w, g if factor is None else b.ir.fmul(factor, g))
            step, after = direction(b, rule.optimizer, w, g, before, scalars)
            if rule.optimizer.whole:
                assert stage.directions is not None
                b.store(step, addresses.operand(stage.directions), at)
            else:
                own = own_rate(b, addresses, rule, rate)
                w, slow = moved(b, rule.optimizer, w, step, own, before.get("slow"), scalars)
                after = after if slow is None else {**after, "slow": slow}
                b.store(w, weights, at)
                follow(b, addresses, stage.followed, at, w)
            for name, value in after.items():
                b.store(value, slots[name], at)


def step_arguments(b: Builder, addresses: Addresses, scalars: int) -> tuple[IrValue, list[IrValue]]:
    """Return the learning rate of the step, and what rules depend on its number in."""
    rate = b.splat(addresses.argument(LEARNING_RATE_SLOT, F32))
    return rate, [b.splat(addresses.argument(FIRST_SCALAR_SLOT + n, F32)) for n in range(scalars)]


def own_rate(b: Builder, addresses: Addresses, rule: UpdateRule, rate: IrValue) -> IrValue:
    """Return the learning rate of a rule: 0 behind its last step."""
    own = rate if rule.learning_rate == 1.0 else b.ir.fmul(rate, b.splat(rule.learning_rate))
    if rule.steps is None:
        return own
    step = b.splat(addresses.argument(STEP_SLOT, F32))
    return b.ir.select(b.ir.fcmp_ordered(">", step, b.splat(float(rule.steps))), b.splat(0.0), own)


def _factor(b: Builder, limit: float | None, length: IrValue) -> IrValue:
    """Return what gradients of a length are multiplied by: 1 where they are short enough; a NaN stays a NaN."""
    assert limit is not None
    factor = b.ir.fdiv(b.splat(limit), b.ir.fadd(b.load(length), b.splat(CLIP_EPSILON)))
    return b.ir.select(b.ir.fcmp_ordered(">", factor, b.splat(1.0)), b.splat(1.0), factor)


def within(b: Builder, limit: float | None, g: IrValue) -> IrValue:
    """Return a vector with no number further from 0 than a limit; a NaN stays a NaN."""
    if limit is not None:
        high, low = b.splat(limit), b.splat(-limit)
        g = b.ir.select(b.ir.fcmp_ordered(">", g, high), high, g)
        g = b.ir.select(b.ir.fcmp_ordered("<", g, low), low, g)
    return g


def emit_follow(b: Builder, addresses: Addresses, stage: Follow, low: IrValue, high: IrValue) -> None:
    """Write the next step of what follows buffers."""
    values = addresses.operand(stage.values)
    with b.loop(*_vectors(b, Portion(0, stage.size), low, high)) as (vector, _):
        at = b.mul(vector, b.lanes)
        follow(b, addresses, stage.followed, at, b.load(values, at))


def follow(b: Builder, addresses: Addresses, followed: Sequence[Followed], at: Index, value: IrValue) -> None:
    """Write the next step of what follows a vector of variables."""
    for follower, operand in followed:
        own = addresses.operand(operand)
        after = follower.follow(Vector(b, b.load(own, at)), Vector(b, value))
        b.store(after.value, own, at)


EMITTERS: Emitters = {
    Transpose: emit_transpose,
    ReducePartials: emit_reduce_partials,
    Update: emit_update,
    Follow: emit_follow,
}
