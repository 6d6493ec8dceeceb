"""A whole program as one LLVM module: kernels, a function for each chain of them, and `run`, which every thread enters.

    void KERNEL(ptr …, ptr control, i64 low, i64 high)
    void KERNEL(ptr …, ptr control, i64 first, i64 number)
    void chain_N(ptr state, ptr arena, ptr scratch, ptr control, i64 low, i64 high)
    void run(ptr state, ptr arena, ptr scratch, ptr control, i64 thread, i64 threads)
    void run_N(…)  in place of `run`, the Nth phase of a program whose slices exchange values
    void prepare(ptr state, ptr arena, ptr scratch, ptr control, i64, i64)

A kernel gets the address of each operand, so that stages which compute the same share it. One outside chains does the
items low ≤ item < high; one of a chain does a block of images, which begins with the image `first` and is the
`number`th of its slice. A chain calls its kernels for one block after another. `scratch` belongs to the thread.
`prepare` runs once after the parameters changed, on one thread; only programs that predict have something to prepare.

`control` holds the arguments of one call in slots of eight bytes:

    0  address of the images        4  learning rate (float32)
    1  address of the targets       5… what the optimizer depends on the step in (float32)
    2  number of images            12… keys of the Dropout layers (32 bits)
    3  0: float32, 1: uint8 images

and the barrier on cache lines of its own behind them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from llvmlite import ir

from neocog.emit.addresses import Addresses, Given, ImageBlock, resolve
from neocog.emit.barrier import barrier_type, emit_barrier
from neocog.emit.builder import I64, PTR, Builder, Index, IrValue, word_type
from neocog.emit.emitters import EMITTERS
from neocog.emit.kernels import Address, Kernel, chain_name, kernel_of
from neocog.emit.slots import COUNT_SLOT, barrier_slot
from neocog.emit.tiles import configured
from neocog.plan.layout import Space
from neocog.plan.ops.chain import Chain
from neocog.plan.ops.op import Op
from neocog.plan.program import Program, ProgramPhase
from neocog.target.processor import Target

STAGE_TYPE = ir.FunctionType(ir.VoidType(), [PTR, PTR, PTR, PTR, I64, I64])


def emit_program(program: Program) -> ir.Module:
    """Write a program down as an LLVM module."""
    writer = ProgramWriter(program)
    chains = {
        index: writer.write_chain(chain_name(index), scheduled.stage)
        for index, scheduled in enumerate(program.stages)
        if isinstance(scheduled.stage, Chain)
    }
    writer.write_meeting()
    for phase in program.phases():
        writer.write_run(phase, chains)
    writer.write_preparation()
    return writer.module


def emit_preparation(program: Program) -> ir.Module:
    """Write down `prepare` alone."""
    writer = ProgramWriter(program)
    writer.write_preparation()
    return writer.module


def emit_stages(program: Program) -> ir.Module:
    """Write down the stages of a program alone, each as a function that a caller may time.

    void stage_N(ptr state, ptr arena, ptr scratch, ptr control, i64 low, i64 high)
    void stage_N_M(ptr state, ptr arena, ptr scratch, ptr control, i64 block, i64)

    The latter is a stage of a chain, for one block of images.
    """
    writer = ProgramWriter(program)
    for index, scheduled in enumerate(program.stages):
        if isinstance(scheduled.stage, Chain):
            for number, inner in enumerate(scheduled.stage.stages):
                writer.write_chained(f"stage_{index}_{number}", scheduled.stage, inner)
        else:
            writer.write_stage(f"stage_{index}", scheduled.stage)
    return writer.module


@dataclass(frozen=True, slots=True)
class _Images:
    """The block of images that a chain is at: its first image, its slice, and its number in that."""

    first: IrValue
    slice: IrValue
    number: IrValue


class ProgramWriter:
    """Writes functions into the module of a program, and each kernel that they call once.

    Arguments:
        program: what they compute.
        given: arguments of each call that are known already, by slot; None: all are read from the control block.
    """

    def __init__(self, program: Program, given: Given = None) -> None:
        self.module = ir.Module(name="neocog")
        self.module.triple = program.target.triple
        self._program = program
        self._given = given
        self._kernels: dict[Kernel, ir.Function] = {}

    def begin(self, name: str) -> tuple[ir.Function, Builder]:
        """Begin a function that is called as `run` is."""
        function = ir.Function(self.module, STAGE_TYPE, name)
        return function, Builder(function, self._program.target)

    def call_kernel(self, b: Builder, stage: Op, low: Index, high: Index) -> None:
        """Call the kernel of a stage on some items."""
        kernel, addresses = kernel_of(stage, chained=False)
        self._call(b, kernel, addresses, 0, 0, low, high)

    def _call_chained(self, b: Builder, stage: Op, images: _Images) -> None:
        """Call the kernel of a chain's stage on a block of images."""
        kernel, addresses = kernel_of(stage, chained=True)
        self._call(b, kernel, addresses, images.first, images.slice, images.first, images.number)

    def _call(
        self, b: Builder, kernel: Kernel, addresses: Iterable[Address], first: Index, slice_: Index, *rest: Index
    ) -> None:
        if kernel not in self._kernels:
            self._kernels[kernel] = emit_kernel(self.module, self._program.target, kernel, self._given)
        pointers = [self.resolve(b, wanted, first, slice_) for wanted in addresses]
        b.ir.call(self._kernels[kernel], [*pointers, self.control(b), *map(b.index, rest)])

    def resolve(self, b: Builder, wanted: Address, first: Index, slice_: Index) -> IrValue:
        """Return what to pass for an argument of a kernel; see emit/addresses.py."""
        bases = dict(zip((Space.STATE, Space.ARENA, Space.SCRATCH), b.function.args[:3], strict=True))
        return resolve(b, self._program.allocations, bases, wanted, first, slice_)

    def control(self, b: Builder) -> IrValue:
        """Return the address of the arguments of a call."""
        return b.function.args[3]

    def write_chain(self, name: str, chain: Chain) -> ir.Function:
        """Write all stages of a chain, for some slices of the batch."""
        function, b = self.begin(name)
        self.write_blocks(b, chain, *function.args[4:])
        b.ir.ret_void()
        return function

    def write_blocks(self, b: Builder, chain: Chain, low: Index, high: Index) -> None:
        """Write all stages of a chain for the blocks of some slices."""
        with b.loop(low, high) as (slice_, _):
            first, behind = _first_block(b, chain, slice_), _first_block(b, chain, b.add(slice_, 1))
            with b.loop(first, behind) as (block, _):
                images = _Images(b.mul(block, chain.block), slice_, b.sub(block, low if chain.rolls else first))
                for stage in chain.stages:
                    self._call_chained(b, stage, images)

    def write_preparation(self) -> None:
        """Write what a program that predicts does once after its parameters changed."""
        _, b = self.begin("prepare")
        for stage in self._program.preparation:
            self.call_kernel(b, stage, b.index(0), b.index(stage.items))
        b.ir.ret_void()

    def write_stage(self, name: str, stage: Op) -> None:
        """Write one stage, for some of its items."""
        function, b = self.begin(name)
        with configured(b, self._program):
            self.call_kernel(b, stage, *function.args[4:])
        b.ir.ret_void()

    def write_chained(self, name: str, chain: Chain, stage: Op) -> None:
        """Write one stage of a chain, for one block of images."""
        function, b = self.begin(name)
        block = function.args[4]
        # The slice of a block is the last one that begins at or before it.
        slice_, _ = b.divmod(b.add(b.mul(b.add(block, 1), chain.slices), -1), chain.blocks)
        number = block if chain.rolls else b.sub(block, _first_block(b, chain, slice_))
        with configured(b, self._program):
            self._call_chained(b, stage, _Images(b.mul(block, chain.block), slice_, number))
        b.ir.ret_void()

    def write_meeting(self) -> None:
        """Write what all runs need: the barrier, and which items are a thread's."""
        meet = self._meet = ir.Function(self.module, barrier_type(), "meet")
        meet.linkage = "internal"
        emit_barrier(self.module, Builder(meet, self._program.target))
        self._bound = _emit_bound(self.module, self._program.target)

    def write_run(self, phase: ProgramPhase, chains: Mapping[int, ir.Function]) -> None:
        """Write what a thread does in a phase: its share of each stage, and the barriers."""
        _, b = self.begin(phase.function)
        with configured(b, self._program):
            self._write_stages(b, phase, chains)
        b.ir.ret_void()

    def _write_stages(self, b: Builder, phase: ProgramPhase, chains: Mapping[int, ir.Function]) -> None:
        *spaces, control, thread, threads = b.function.args
        together = b.ir.icmp_unsigned(">", threads, b.index(1))
        next_thread = b.ir.add(thread, b.index(1))
        for index in phase.stages:
            scheduled = self._program.stages[index]
            if scheduled.barrier:
                with b.when(together):
                    b.ir.call(self._meet, [b.at(control, barrier_slot(self._program), I64), threads])
            items = b.index(_items(b, self._program, scheduled.stage, control))
            low, high = (b.ir.call(self._bound, [items, position, threads]) for position in (thread, next_thread))
            with b.when(b.less(low, high)):
                if index in chains:
                    b.ir.call(chains[index], [*spaces, control, low, high])
                else:
                    self.call_kernel(b, scheduled.stage, low, high)


def emit_kernel(module: ir.Module, target: Target, kernel: Kernel, given: Given = None) -> ir.Function:
    """Write a kernel; `given` as `ProgramWriter` has it."""
    count, word = len(kernel.alone), word_type(target)
    kind = ir.FunctionType(ir.VoidType(), [PTR] * count + [PTR, word, word])
    function = ir.Function(module, kind, kernel.name)
    function.linkage = "internal"
    b = Builder(function, target)
    *pointers, control, low, high = function.args
    # Code that stands alone goes through LLVM's whole pipeline. Where it knows that nobody else writes, that finds what
    # was loaded before in spite of `read_anew`, and keeps more than 16 or 32 registers hold. (Narrow processors gain.)
    tells = given is None or target.word_bits == 32
    for pointer, alone in zip((*pointers, control), (*kernel.alone, True), strict=True):
        if alone and tells:  # names that are in use at once share no bytes
            pointer.add_attribute("noalias")
    stage = kernel.stage
    if kernel.chained:
        first, number = low, high
        addresses = Addresses(b, pointers, control, ImageBlock(first, number), given)
        EMITTERS[type(stage)](b, addresses, stage, 0, stage.items)
    else:
        EMITTERS[type(stage)](b, Addresses(b, pointers, control, given=given), stage, low, high)
    b.ir.ret_void()
    return function


def _first_block(b: Builder, chain: Chain, slice_: IrValue) -> IrValue:
    """Return the first block of a slice: blocks · slice / slices."""
    return b.divmod(b.mul(slice_, chain.blocks), chain.slices)[0]


def _items(b: Builder, program: Program, stage: Op, control: IrValue) -> Index:
    """Count the items of a stage. A chain that predicts leaves out the blocks past the caller's images: nobody reads
    what comes of them. (One that trains needs all, since each slice begins its sums anew.)
    """
    if program.training is not None or not isinstance(stage, Chain) or stage.rolls:
        return stage.items
    count = b.load_scalar(control, COUNT_SLOT, I64)
    return b.divmod(b.add(count, stage.block - 1), stage.block)[0]


def _emit_bound(module: ir.Module, target: Target) -> ir.Function:
    """Write the first of the items that a thread does: items · thread / threads.

    It is a function since LLVM writes a division by what it does not know at some length.
    """
    function = ir.Function(module, ir.FunctionType(I64, [I64, I64, I64]), "bound")
    function.linkage = "internal"
    function.attributes.add("noinline")
    b = Builder(function, target)
    items, thread, threads = function.args
    b.ir.ret(b.ir.udiv(b.mul(items, thread), threads))
    return function
