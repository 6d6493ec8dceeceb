"""A loop of nothing but multiply-adds on registers: the most that one core can do."""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.builder import Builder
from neocog.emit.program import STAGE_TYPE
from neocog.target.processor import Target

ROUNDS = 8  # multiply-adds of each sum that one iteration of the loop writes out


def _sums(target: Target) -> int:
    return target.registers - 4


def peak_operations(target: Target) -> int:
    """Count the floating-point operations of one iteration of the loop; a multiply-add is two."""
    return 2 * target.lanes * _sums(target) * ROUNDS


def emit_peak(target: Target) -> ir.Module:
    """Write `void peak(ptr, ptr, ptr, ptr out, i64 low, i64 high)`, which takes high - low iterations."""
    module = ir.Module(name="neocog")
    module.triple = target.triple
    function = ir.Function(module, STAGE_TYPE, "peak")
    b = Builder(function, target)
    _, _, _, out, low, high = function.args
    # A factor from memory, so that LLVM cannot work the sums out by itself.
    factor = b.load(out)
    with b.loop(low, high, [b.splat(float(n)) for n in range(_sums(target))]) as (_, carried):
        for _ in range(ROUNDS):
            carried[:] = [b.multiply_add(value, factor, factor) for value in carried]
    total = carried[0]
    for value in carried[1:]:
        total = b.ir.fadd(total, value)
    b.store(total, out)
    b.ir.ret_void()
    return module
