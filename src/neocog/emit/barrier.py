"""Where threads wait for each other: a counter and a generation in shared memory."""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.builder import I64, PTR, Builder, IrValue
from neocog.emit.waiting import emit_pause, emit_sleep

# The others usually come within microseconds. Where they do not, another program has their processor: spinning on
# would only take time from them, and giving way (sched_yield) does not help those that wait elsewhere.
SPINS = 10_000  # looks at the generation before the first sleep: a few hundred microseconds


def emit_barrier(module: ir.Module, b: Builder) -> ir.Function:
    """Write `void meet(ptr barrier, i64 threads)`: return when `threads` threads have come.

    barrier[0] counts who has come, barrier[1] is the generation; both are 64-bit. The last to come clears the count
    and opens the next generation; the others watch it for a while, and then sleep between looks.
    """
    shared, threads = b.function.args
    count, generation = shared, b.at(shared, 1, I64)
    ours = b.ir.load_atomic(generation, "acquire", 8, typ=I64)
    before = b.ir.atomic_rmw("add", count, ir.Constant(I64, 1), "acq_rel")
    is_last = b.ir.icmp_unsigned("==", b.ir.add(before, ir.Constant(I64, 1)), threads)
    with b.ir.if_else(is_last) as (last, waiting):
        with last:
            # llvmlite's atomic stores know no opaque pointers; an exchange does the same
            b.ir.atomic_rmw("xchg", count, ir.Constant(I64, 0), "monotonic")
            b.ir.atomic_rmw("xchg", generation, b.ir.add(ours, ir.Constant(I64, 1)), "release")
        with waiting:
            _wait(module, b, generation, ours)
    b.ir.ret_void()
    return b.function


def _wait(module: ir.Module, b: Builder, generation: IrValue, ours: IrValue) -> None:
    look, check, doze, done = (b.function.append_basic_block(name) for name in ("look", "check", "doze", "done"))
    before = b.ir.block
    b.ir.branch(look)
    b.ir.position_at_end(look)
    spins = b.ir.phi(I64)
    spins.add_incoming(ir.Constant(I64, 0), before)
    now = b.ir.load_atomic(generation, "acquire", 8, typ=I64)
    b.ir.cbranch(b.ir.icmp_unsigned("==", now, ours), check, done)
    b.ir.position_at_end(check)
    emit_pause(module, b)
    more = b.ir.add(spins, ir.Constant(I64, 1))
    spins.add_incoming(more, check)
    b.ir.cbranch(b.ir.icmp_unsigned("<", more, ir.Constant(I64, SPINS)), look, doze)
    b.ir.position_at_end(doze)
    emit_sleep(module, b)
    spins.add_incoming(more, doze)
    b.ir.branch(look)
    b.ir.position_at_end(done)


def barrier_type() -> ir.FunctionType:
    """Return the type of `meet`."""
    return ir.FunctionType(ir.VoidType(), [PTR, I64])
