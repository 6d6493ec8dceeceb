"""A whole program as one LLVM module: kernels, a function for each stage, and `run`, which every thread enters.

    void KERNEL(ptr …, ptr control, i64 low, i64 high)
    void KERNEL(ptr …, ptr control, i64 first, i64 turn)
    void stage_N(ptr state, ptr work, ptr scratch, ptr control, i64 low, i64 high)
    void stage_N_M(ptr state, ptr work, ptr scratch, ptr control, i64 block, i64)
    void run(ptr state, ptr work, ptr scratch, ptr control, i64 thread, i64 threads)
    void prepare(ptr state, ptr work, ptr scratch, ptr control, i64, i64)

A kernel gets the address of each operand, so that stages which compute the same share it. One outside chains does the
items low ≤ item < high; one of a chain does a block of images, which begins with the image `first` and is number `turn`
of its slice. A stage_N passes its kernel the addresses; that of a chain calls its stages stage_N_M, which do so for
one block of images after another. `scratch` belongs to the thread. `prepare` runs once after the parameters changed, on
one thread; only programs that predict have something to prepare.

`control` holds the arguments of one call in slots of eight bytes:

    0  address of the images        4  learning rate (float32)
    1  address of the targets       5  1 - beta1^step (float32)
    2  number of images             6  sqrt(1 - beta2^step) (float32)
    3  0: float32, 1: uint8 images  8… keys of the Dropout layers (32 bits)

and the barrier on cache lines of its own behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir

from neocog.emit.barrier import barrier_type, emit_barrier
from neocog.emit.builder import I64, PTR, Builder, Index, Value
from neocog.emit.contraction import emit_contraction
from neocog.emit.images import emit_elementwise, emit_load_images, emit_repack
from neocog.emit.kernels import Kernel, kernel_of
from neocog.emit.loss import emit_loss
from neocog.emit.memory import Block, Memory, address
from neocog.emit.pool import emit_pool, emit_pool_backward
from neocog.emit.slots import COUNT_SLOT, barrier_slot
from neocog.emit.update import emit_fold, emit_transpose, emit_update
from neocog.emit.winograd import emit_winograd, emit_winograd_backward, emit_winograd_fold, emit_winograd_weights
from neocog.plan.contraction import Contraction
from neocog.plan.layout import Space
from neocog.plan.program import Program
from neocog.plan.stages import (
    Chain,
    Elementwise,
    Fold,
    LoadImages,
    LossGradient,
    Pool,
    PoolBackward,
    Repack,
    Stage,
    Transpose,
    Update,
)
from neocog.plan.target import Target
from neocog.plan.tiles import Winograd, WinogradBackward, WinogradFold, WinogradWeights

EMITTERS: dict[type[Any], Callable[..., None]] = {
    Contraction: emit_contraction,
    LoadImages: emit_load_images,
    Elementwise: emit_elementwise,
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
    writer = _Stages(module, program)
    stages = [writer.write(f"stage_{index}", scheduled.stage) for index, scheduled in enumerate(program.stages)]
    meet = ir.Function(module, barrier_type(), "meet")
    meet.linkage = "internal"
    emit_barrier(module, Builder(meet, program.target))
    _emit_run(module, program, stages, meet)
    preparation = [writer.write(f"preparation_{index}", stage) for index, stage in enumerate(program.preparation)]
    _emit_prepare(module, program, preparation)
    return module


def _emit_prepare(module: ir.Module, program: Program, stages: list[ir.Function]) -> None:
    function = ir.Function(module, STAGE_TYPE, "prepare")
    b = Builder(function, program.target)
    for planned, stage in zip(program.preparation, stages, strict=True):
        b.ir.call(stage, [*function.args[:4], b.index(0), b.index(planned.items)])
    b.ir.ret_void()


class _Stages:
    """Writes the functions of stages into a module, and each kernel that they call once."""

    def __init__(self, module: ir.Module, program: Program) -> None:
        self._module, self._program = module, program
        self._kernels: dict[Kernel, ir.Function] = {}

    def write(self, name: str, stage: Stage) -> ir.Function:
        """Write a stage, and whatever it calls that is not there yet."""
        if isinstance(stage, Chain):
            return self._write_chain(name, stage)
        function, b = self._begin(name)
        low, high = function.args[4:]
        self._call_kernel(b, stage, None, 0, low, high)
        b.ir.ret_void()
        return function

    def _begin(self, name: str) -> tuple[ir.Function, Builder]:
        function = ir.Function(self._module, STAGE_TYPE, name)
        return function, Builder(function, self._program.target)

    def _write_chain(self, name: str, chain: Chain) -> ir.Function:
        links = [self._write_link(f"{name}_{n}", chain, stage) for n, stage in enumerate(chain.stages)]
        function, b = self._begin(name)
        *bases, low, high = function.args
        with b.loop(low, high) as (slice_, _):
            first, behind = _first_block(b, chain, slice_), _first_block(b, chain, b.add(slice_, 1))
            with b.loop(first, behind) as (block, _):
                for link in links:
                    b.ir.call(link, [*bases, block, b.index(0)])
        b.ir.ret_void()
        return function

    def _write_link(self, name: str, chain: Chain, stage: Stage) -> ir.Function:
        """Write one stage of a chain, for one block of images."""
        function, b = self._begin(name)
        block = function.args[4]
        # The slice of a block is the last one that begins at or before it.
        slice_, _ = b.divmod(b.add(b.mul(b.add(block, 1), chain.slices), -1), chain.blocks)
        turn = b.sub(block, _first_block(b, chain, slice_))
        first = b.mul(block, chain.block)
        self._call_kernel(b, stage, first, slice_, first, turn)
        b.ir.ret_void()
        return function

    def _call_kernel(self, b: Builder, stage: Stage, first: Index | None, slice_: Index, *rest: Value) -> None:
        """Call a stage's kernel: on a block of images that begins with the `first` or, where that is None, on some
        items of the whole batch.
        """
        kernel, addresses = kernel_of(stage, chained=first is not None)
        if kernel not in self._kernels:
            self._kernels[kernel] = _emit_kernel(self._module, self._program.target, kernel)
        state, work, scratch, control = b.function.args[:4]
        bases = {Space.STATE: state, Space.WORK: work, Space.SCRATCH: scratch}
        pointers = [address(b, self._program.places, bases, wanted, first or 0, slice_) for wanted in addresses]
        b.ir.call(self._kernels[kernel], [*pointers, control, *(b.index(value) for value in rest)])


def _emit_kernel(module: ir.Module, target: Target, kernel: Kernel) -> ir.Function:
    count = len(kernel.alone)
    kind = ir.FunctionType(ir.VoidType(), [PTR] * count + [PTR, I64, I64])
    function = ir.Function(module, kind, kernel.name)
    function.linkage = "internal"
    b = Builder(function, target)
    *pointers, control, low, high = function.args
    for pointer, alone in zip((*pointers, control), (*kernel.alone, True), strict=True):
        if alone:  # names that are in use at once share no bytes
            pointer.add_attribute("noalias")
    stage = kernel.stage
    if kernel.chained:
        first, turn = low, high
        EMITTERS[type(stage)](b, Memory(b, pointers, control, Block(first, turn)), stage, 0, stage.items)
    else:
        EMITTERS[type(stage)](b, Memory(b, pointers, control), stage, low, high)
    b.ir.ret_void()
    return function


def _first_block(b: Builder, chain: Chain, slice_: Value) -> Value:
    """Return the first block of a slice: blocks · slice / slices."""
    return b.divmod(b.mul(slice_, chain.blocks), chain.slices)[0]


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


def _items(b: Builder, program: Program, stage: Stage, control: Value) -> Index:
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
