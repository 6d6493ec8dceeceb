"""A whole program as one LLVM module: a function for each stage, and `run`, which every thread enters.

    void stage_N(ptr state, ptr work, ptr scratch, ptr control, i64 low, i64 high)
    void stage_N_M(ptr state, ptr work, ptr scratch, ptr control, i64 block, i64)
    void run(ptr state, ptr work, ptr scratch, ptr control, i64 thread, i64 threads)
    void prepare(ptr state, ptr work, ptr scratch, ptr control, i64, i64)

A chain is stage_N, which calls its stages stage_N_M for one block of images after another. `scratch` belongs to the
thread. `prepare` runs once after the parameters changed, on one thread; only programs that predict have something to
prepare.

`control` holds the arguments of one call in slots of eight bytes:

    0  address of the images        4  learning rate (float32)
    1  address of the targets       5… what the optimizer depends on the step in (float32)
    2  number of images             8… keys of the Dropout layers (32 bits)
    3  0: float32, 1: uint8 images

and the barrier on cache lines of its own behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from neocog.emit.barrier import barrier_type, emit_barrier
from neocog.emit.builder import I64, PTR, Builder, Index, Value
from neocog.emit.contraction import emit_contraction
from neocog.emit.images import emit_load_images, emit_repack
from neocog.emit.loss import emit_loss
from neocog.emit.memory import Block, Memory
from neocog.emit.norm import emit_norm_gradient, emit_statistics
from neocog.emit.pointwise import emit_map, emit_moments
from neocog.emit.pool import emit_pool, emit_pool_backward
from neocog.emit.slots import COUNT_SLOT, barrier_slot
from neocog.emit.update import emit_fold, emit_transpose, emit_update
from neocog.emit.winograd import emit_winograd, emit_winograd_backward, emit_winograd_fold, emit_winograd_weights
from neocog.plan.ops.chain import Chain
from neocog.plan.ops.contraction import Contraction
from neocog.plan.ops.images import LoadImages, Repack
from neocog.plan.ops.loss import LossGradient
from neocog.plan.ops.map import Map
from neocog.plan.ops.norm import Moments, NormGradient, Statistics
from neocog.plan.ops.op import Op
from neocog.plan.ops.pool import Pool, PoolBackward
from neocog.plan.ops.update import Fold, Transpose, Update
from neocog.plan.ops.winograd import Winograd, WinogradBackward, WinogradFold, WinogradWeights
from neocog.plan.program import Program

EMITTERS: dict[type[Any], Callable[..., None]] = {
    Contraction: emit_contraction,
    LoadImages: emit_load_images,
    Map: emit_map,
    Moments: emit_moments,
    Statistics: emit_statistics,
    NormGradient: emit_norm_gradient,
    Repack: emit_repack,
    Pool: emit_pool,
    PoolBackward: emit_pool_backward,
    LossGradient: emit_loss,
    Transpose: emit_transpose,
    Fold: emit_fold,
    Update: emit_update,
    Winograd: emit_winograd,
    WinogradWeights: emit_winograd_weights,
    WinogradBackward: emit_winograd_backward,
    WinogradFold: emit_winograd_fold,
}
STAGE_TYPE = ir.FunctionType(ir.VoidType(), [PTR, PTR, PTR, PTR, I64, I64])


def emit_program(program: Program) -> ir.Module:
    """Write a program down as an LLVM module."""
    module = ir.Module(name="neocog")
    module.triple = program.target.triple
    stages = [
        _emit_stage(module, program, f"stage_{index}", scheduled.stage)
        for index, scheduled in enumerate(program.stages)
    ]
    meet = ir.Function(module, barrier_type(), "meet")
    meet.linkage = "internal"
    emit_barrier(module, Builder(meet, program.target))
    _emit_run(module, program, stages, meet)
    preparation = [
        _emit_stage(module, program, f"preparation_{index}", stage) for index, stage in enumerate(program.preparation)
    ]
    _emit_prepare(module, program, preparation)
    return module


def _emit_prepare(module: ir.Module, program: Program, stages: list[ir.Function]) -> None:
    function = ir.Function(module, STAGE_TYPE, "prepare")
    b = Builder(function, program.target)
    for planned, stage in zip(program.preparation, stages, strict=True):
        b.ir.call(stage, [*function.args[:4], b.index(0), b.index(planned.items)])
    b.ir.ret_void()


def _emit_stage(module: ir.Module, program: Program, name: str, stage: Op) -> ir.Function:
    if isinstance(stage, Chain):
        return _emit_chain(module, program, name, stage)
    function = ir.Function(module, STAGE_TYPE, name)
    for argument in function.args[:4]:
        argument.add_attribute("noalias")
    b = Builder(function, program.target)
    *bases, low, high = function.args
    EMITTERS[type(stage)](b, Memory(b, program.places, *bases), stage, low, high)
    b.ir.ret_void()
    return function


def _emit_chain(module: ir.Module, program: Program, name: str, chain: Chain) -> ir.Function:
    links = [_emit_link(module, program, f"{name}_{n}", chain, stage) for n, stage in enumerate(chain.stages)]
    function = ir.Function(module, STAGE_TYPE, name)
    b = Builder(function, program.target)
    *bases, low, high = function.args
    with b.loop(low, high) as (slice_, _):
        first, behind = _first_block(b, chain, slice_), _first_block(b, chain, b.add(slice_, 1))
        with b.loop(first, behind) as (block, _):
            for link in links:
                b.ir.call(link, [*bases, block, b.index(0)])
    b.ir.ret_void()
    return function


def _first_block(b: Builder, chain: Chain, slice_: Value) -> Value:
    """Return the first block of a slice: blocks · slice / slices."""
    return b.divmod(b.mul(slice_, chain.blocks), chain.slices)[0]


def _emit_link(module: ir.Module, program: Program, name: str, chain: Chain, stage: Op) -> ir.Function:
    """Write one stage of a chain, for one block of images."""
    function = ir.Function(module, STAGE_TYPE, name)
    for argument in function.args[:4]:
        argument.add_attribute("noalias")
    b = Builder(function, program.target)
    *bases, block, _ = function.args
    # The slice of a block is the last one that begins at or before it.
    last, _ = b.divmod(b.add(b.mul(b.add(block, 1), chain.slices), -1), chain.blocks)
    turn = b.sub(block, _first_block(b, chain, last))
    memory = Memory(b, program.places, *bases)
    memory.block = Block(b.mul(block, chain.block), last, turn)
    EMITTERS[type(stage)](b, memory, stage, 0, stage.items)
    b.ir.ret_void()
    return function


def _emit_run(module: ir.Module, program: Program, stages: list[ir.Function], meet: ir.Function) -> None:
    function = ir.Function(module, STAGE_TYPE, "run")
    b = Builder(function, program.target)
    state, work, scratch, control, thread, threads = function.args
    together = b.ir.icmp_unsigned(">", threads, ir.Constant(I64, 1))
    for scheduled, stage in zip(program.stages, stages, strict=True):
        if scheduled.barrier:
            with b.when(together):
                b.ir.call(meet, [b.at(control, barrier_slot(program), I64), threads])
        low, high = _share(b, _items(b, program, scheduled.stage, control), thread, threads)
        with b.when(b.less(low, high)):
            b.ir.call(stage, [state, work, scratch, control, low, high])
    b.ir.ret_void()


def _items(b: Builder, program: Program, stage: Op, control: Value) -> Index:
    """Count the items of a stage. A chain that predicts leaves out the blocks past the caller's images: nobody reads
    what comes of them. (One that trains needs all, since each slice begins its sums anew.)
    """
    if program.training is not None or not isinstance(stage, Chain):
        return stage.items
    count = b.load_scalar(control, COUNT_SLOT, I64)
    return b.divmod(b.add(count, stage.block - 1), stage.block)[0]


def _share(b: Builder, items: Index, thread: Value, threads: Value) -> tuple[Value, Value]:
    """Return a thread's run of the items: items · thread / threads up to items · (thread + 1) / threads."""

    def bound(position: Value) -> Value:
        return b.ir.udiv(b.mul(position, items), threads)

    return bound(thread), bound(b.ir.add(thread, ir.Constant(I64, 1)))
