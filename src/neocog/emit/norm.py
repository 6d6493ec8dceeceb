"""What batch normalization makes of its sums, channel by channel, in double precision."""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.builder import F32, I64, Builder, Index, Value
from neocog.emit.emitter import Emitters
from neocog.emit.memory import Memory
from neocog.emit.slots import COUNT_SLOT
from neocog.plan.layout import Operand
from neocog.plan.ops.norm import INVERSE, MEAN, OFFSET, SCALE, SHIFT, SLOPE, NormGradient, Statistics

F64 = ir.DoubleType()


def _double(value: float) -> ir.Constant:
    return ir.Constant(F64, value)


def _load(b: Builder, base: Value, place: Index) -> Value:
    return b.ir.fpext(b.load_scalar(base, place), F64)


def _store(b: Builder, memory: Memory, value: Value, operand: Operand, place: Index) -> None:
    b.store_scalar(b.ir.fptrunc(value, F32), memory.operand(operand), place)


def _count(b: Builder, memory: Memory, pixels: int) -> Value:
    """Return the number of values of a channel in the whole batch."""
    return b.ir.fmul(b.ir.sitofp(memory.argument(COUNT_SLOT, I64), F64), _double(float(pixels)))


def emit_statistics(b: Builder, memory: Memory, stage: Statistics, low: Value, high: Value) -> None:
    """Write mean, variance and what follows from them, from the moments of all slices."""
    moments, step = memory.operand(stage.moments), stage.step
    count = memory.argument(COUNT_SLOT, I64)
    total = _count(b, memory, stage.pixels)
    numbers = []
    for slice_ in range(stage.slices.count):
        first, behind = stage.slices.first_image(slice_), stage.slices.first_image(slice_ + 1)
        images = b.maximum(0, b.minimum(b.sub(count, first), behind - first))
        numbers.append(b.ir.fmul(b.ir.sitofp(b.index(images), F64), _double(float(stage.pixels))))
    with b.loop(0, stage.channels) as (channel, _):
        pivots, sums, squares = (
            [_load(b, moments, b.add(channel, (3 * slice_ + which) * step)) for slice_ in range(stage.slices.count)]
            for which in range(3)
        )
        mean = _double(0.0)
        for number, pivot, added in zip(numbers, pivots, sums, strict=True):
            mean = b.ir.fadd(mean, b.ir.fadd(b.ir.fmul(number, pivot), added))
        mean = b.ir.fdiv(mean, total)
        away = _double(0.0)  # Σ (x - mean)²
        for number, pivot, added, square in zip(numbers, pivots, sums, squares, strict=True):
            far = b.ir.fsub(pivot, mean)
            both = b.ir.fadd(b.ir.fmul(_double(2.0), added), b.ir.fmul(number, far))
            away = b.ir.fadd(away, b.ir.fadd(square, b.ir.fmul(far, both)))
        away = b.ir.select(b.ir.fcmp_ordered("<", away, _double(0.0)), _double(0.0), away)
        variance = b.ir.fdiv(away, total)
        root = b.intrinsic("llvm.sqrt", F64, b.ir.fadd(variance, _double(stage.epsilon)))
        inverse = b.ir.fdiv(_double(1.0), root)
        weight = _double(1.0) if stage.weight is None else _load(b, memory.operand(stage.weight), channel)
        bias = _double(0.0) if stage.bias is None else _load(b, memory.operand(stage.bias), channel)
        values = {MEAN: mean, INVERSE: inverse, SCALE: b.ir.fmul(weight, inverse), SHIFT: bias}
        for which, value in values.items():
            _store(b, memory, value, stage.out, b.add(channel, which * step))
        fewer = b.ir.fsub(total, _double(1.0))
        fewer = b.ir.select(b.ir.fcmp_ordered("<", fewer, _double(1.0)), _double(1.0), fewer)
        for operand, value in ((stage.mean, mean), (stage.variance, b.ir.fdiv(away, fewer))):
            before = _load(b, memory.operand(operand), channel)
            after = b.ir.fadd(before, b.ir.fmul(_double(stage.momentum), b.ir.fsub(value, before)))
            _store(b, memory, after, operand, channel)


def emit_norm_gradient(b: Builder, memory: Memory, stage: NormGradient, low: Value, high: Value) -> None:
    """Write slope and offset of the input's gradient, and the gradients of γ and β, from the sums of all slices."""
    sums, statistics, step = memory.operand(stage.sums), memory.operand(stage.statistics), stage.step
    total = _count(b, memory, stage.pixels)
    with b.loop(0, stage.channels) as (channel, _):
        plain, moved = _double(0.0), _double(0.0)
        for slice_ in range(stage.slices):
            plain = b.ir.fadd(plain, _load(b, sums, b.add(channel, 2 * slice_ * step)))
            moved = b.ir.fadd(moved, _load(b, sums, b.add(channel, (2 * slice_ + 1) * step)))
        inverse = _load(b, statistics, b.add(channel, INVERSE * step))
        scale = _load(b, statistics, b.add(channel, SCALE * step))
        share = b.ir.fdiv(scale, total)
        slope = b.ir.fmul(b.ir.fmul(share, b.ir.fmul(inverse, inverse)), moved)
        for which, value in ((SLOPE, slope), (OFFSET, b.ir.fmul(share, plain))):
            _store(b, memory, b.ir.fsub(_double(0.0), value), stage.out, b.add(channel, which * step))
        if stage.weight is not None:
            _store(b, memory, b.ir.fmul(moved, inverse), stage.weight, channel)
        if stage.bias is not None:
            _store(b, memory, plain, stage.bias, channel)


EMITTERS: Emitters = {Statistics: emit_statistics, NormGradient: emit_norm_gradient}
