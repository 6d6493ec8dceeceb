"""A network as one function that needs nothing else, with its weights as constants:

    int32_t NAME_predict(const uint8_t *image, float *probabilities, void *arena)

It works in `arena` alone, whose contents do not matter, and begins at the first byte of it that its vectors may begin
at. It answers with the class, as a `Network` does: the most probable one, or -1 where that is not probable enough. Of a
network for several labels it answers with the number of labels that are given. `NAME_class_names` names the classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from llvmlite import ir

from neocog.emit.builder import F32, I8, I32, PTR, Builder, Index, IrValue, float_bits, int32, word_type
from neocog.emit.kernels import Address
from neocog.emit.program import ProgramWriter
from neocog.emit.resize import Fitting, emit_resize
from neocog.emit.slots import COUNT_SLOT, IMAGES_SLOT, KIND_SLOT, KIND_UINT8
from neocog.emit.vector_math import exp, sigmoid
from neocog.nn.shapes import ImageShape
from neocog.plan.layout import Tensor
from neocog.plan.ops.chain import Chain
from neocog.plan.ops.halo import ClearHalo
from neocog.plan.program import LOGITS
from neocog.plan.standalone import Standalone
from neocog.target.processor import Target

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Look:
    """One way to look at an image: mirrored, or moved by pixels down and to the right; and its share of the mean."""

    share: float
    mirrored: bool = False
    shift: int = 0

    @property
    def plain(self) -> bool:
        """Whether it is the image as it is."""
        return not self.mirrored and not self.shift


@dataclass(frozen=True, slots=True)
class Ending:
    """What becomes of logits.

    Arguments:
        class_names: of the outputs.
        temperature: what logits are divided by before they become probabilities.
        reject_below: the probability below which an answer is unknown; None: each is given.
        thresholds: where an image may have several labels: above which probability each is given.
    """

    class_names: tuple[str, ...]
    temperature: float = 1.0
    reject_below: float | None = None
    thresholds: tuple[float, ...] | None = None


def arena_bytes(standalone: Standalone, looks: Sequence[Look]) -> int:
    """Return the bytes of working memory that a caller lends, wherever they begin."""
    return _Layout.of(standalone, looks).end + standalone.line - 1


def emit_standalone(
    standalone: Standalone,
    constants: bytes,
    symbol: str,
    looks: Sequence[Look],
    ending: Ending,
    *,
    small: bool,
    version: str = "",
    fitting: Fitting | None = None,
) -> ir.Module:
    """Write a network down as a module of its own.

    Arguments:
        standalone: the program.
        constants: the block of constants.
        symbol: what begins the names of all that others see.
        looks: how it looks at an image; their shares add up to 1.
        ending: what becomes of logits.
        small: whether short code counts more than its speed.
        version: of several in one object, what the function is called in place of `NAME_predict`; then the names of
            classes, and how pictures are resized, are left to `emit_shared`.
        fitting: how pictures are brought to its size, where it has a function for that.
    """
    program = standalone.program
    writer = _Writer(standalone, constants, small=small)
    network = writer.write_network()
    _write_predict(writer, network, version or f"{symbol}_predict", looks, ending)
    if not version:
        _write_shared(writer.module, symbol, ending.class_names, program.target, fitting)
    for function in writer.module.functions:
        if function.blocks:
            function.attributes.add("nounwind")  # and so without tables for it, which ask for a library
            if small:
                function.attributes.add("optsize")
                function.attributes.add("minsize")
    return writer.module


def emit_shared(symbol: str, class_names: Sequence[str], target: Target, fitting: Fitting | None) -> ir.Module:
    """Write what several versions have in common down as a module of its own."""
    module = ir.Module(name="neocog")
    module.triple = target.triple
    _write_shared(module, symbol, class_names, target, fitting)
    for function in module.functions:
        function.attributes.add("nounwind")
    return module


def _write_shared(
    module: ir.Module, symbol: str, class_names: Sequence[str], target: Target, fitting: Fitting | None
) -> None:
    _write_names(module, f"{symbol}_class_names", class_names)
    if fitting is not None:
        emit_resize(module, f"{symbol}_resize", target, fitting)


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where what several looks need lies behind the working memory: the image as it is seen, and sums of logits."""

    seen: int
    sums: int
    end: int

    @classmethod
    def of(cls, standalone: Standalone, looks: Sequence[Look]) -> _Layout:
        graph, end = standalone.program.graph, standalone.work_bytes
        if [look.plain for look in looks] == [True]:
            return cls(end, end, end)
        seen = -(-end // 4) * 4
        sums = seen + -(-graph.input.height * graph.input.width * graph.input.channels // 4) * 4
        return cls(seen, sums, sums + 4 * graph.classes)


def _argument(b: Builder, image: IrValue, slot: int) -> IrValue:
    """Return an argument of a program for one image of bytes; its address stands for the control block."""
    return {IMAGES_SLOT: image, COUNT_SLOT: b.index(1), KIND_SLOT: b.index(KIND_UINT8)}[slot]


class _Writer(ProgramWriter):
    """Writes `network(ptr image, ptr work)`, which leaves the logits in the working memory."""

    def __init__(self, standalone: Standalone, constants: bytes, *, small: bool) -> None:
        super().__init__(standalone.program, _argument)
        self.standalone = standalone
        self._small = small
        self._clearing: ir.Function | None = None
        kind = ir.ArrayType(I8, len(constants))
        self._constants = ir.GlobalVariable(self.module, kind, "constants")
        self._constants.linkage, self._constants.global_constant = "internal", True
        self._constants.align = standalone.line
        self._constants.initializer = ir.Constant(kind, bytearray(constants))

    def resolve(self, b: Builder, wanted: Address, first: Index, slice_: Index) -> IrValue:
        """Return what to pass for an argument of a kernel: an address among the constants, or in working memory."""
        memory = (wanted.space, wanted.name)
        allocation = self.standalone.work.get(memory)
        if allocation is not None:
            begin = b.at(b.function.args[1], allocation.offset + wanted.start, I8)
            return b.at(begin, b.add(b.mul(first, wanted.image), b.mul(slice_, wanted.slice)), I8)
        if memory not in self._program.allocations:
            return ir.Constant(PTR, None)
        return b.at(self._constants, self.standalone.constant_at(memory, wanted.start), I8)

    def control(self, b: Builder) -> IrValue:
        """Return the image, which is all that kernels need to be told."""
        return b.function.args[0]

    def write_network(self) -> ir.Function:
        """Write all stages, behind what clears the memory that relies on zeros."""
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), [PTR, PTR]), "network")
        function.linkage = "internal"
        if self._program.target.word_bits == 32:  # as kernels have it
            for argument in function.args:
                argument.add_attribute("noalias")
        b = Builder(function, self._program.target)
        for first, end in self.standalone.zeros:
            _clear(b, b.at(function.args[1], first, I8), end - first)
        for stage in self.standalone.stages:
            if isinstance(stage, ClearHalo):
                self._clear_halo(b, stage.tensor)
            elif isinstance(stage, Chain):
                self.write_blocks(b, stage, 0, stage.slices)
            else:
                self.call_kernel(b, stage, 0, stage.items)
        b.ir.ret_void()
        return function

    def _clear_halo(self, b: Builder, tensor: Tensor) -> None:
        """Write zeros around the image of a tensor: above it, between one row's end and the next one's begin, below."""
        halo, row = tensor.halo, tensor.row_step
        gap = (halo.left + halo.right) * tensor.pitch
        rows = tensor.height - 1 if gap else 0
        pixels = row - gap if gap else tensor.height * row
        sizes = (tensor.origin, pixels, gap, halo.right * tensor.pitch + halo.bottom * row)
        above, pixels, gap, below = (size * tensor.bytes_each for size in sizes)
        if self._clearing is None:
            self._clearing = _emit_clearing(self.module, self._program.target)
            self._clearing.attributes.add("noinline" if self._small else "alwaysinline")
        begin = b.at(b.function.args[1], self.standalone.work[tensor.memory].offset, I8)
        b.ir.call(self._clearing, [begin, *map(b.index, (above, pixels, gap, rows, below))])


def _emit_clearing(module: ir.Module, target: Target) -> ir.Function:
    """Write `clear_halo(ptr begin, above, pixels, gap, rows, below)`, all of them bytes but the number of gaps.

    It is one function for all tensors, which LLVM writes out for each where code need not be short.
    """
    word = word_type(target)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, *[word] * 5]), "clear_halo")
    function.linkage = "internal"
    b = Builder(function, target)
    begin, above, pixels, gap, rows, below = function.args
    _clear(b, begin, above)
    with b.loop(0, rows, [b.add(above, pixels)]) as (_, places):
        _clear(b, b.at(begin, places[0], I8), gap)
        places[0] = b.add(places[0], b.add(gap, pixels))
    _clear(b, b.at(begin, places[0], I8), below)
    b.ir.ret_void()
    return function


def _clear(b: Builder, address: IrValue, size: Index) -> None:
    module, name = b.function.module, f"llvm.memset.p0.i{b.word.width}"
    declared = module.globals.get(name)
    if declared is None:
        kind = ir.FunctionType(ir.VoidType(), [PTR, I8, b.word, ir.IntType(1)])
        declared = ir.Function(module, kind, name)
    b.ir.call(declared, [address, ir.Constant(I8, 0), b.index(size), ir.Constant(ir.IntType(1), 0)])


def _write_predict(writer: _Writer, network: ir.Function, name: str, looks: Sequence[Look], ending: Ending) -> None:
    standalone, program = writer.standalone, writer.standalone.program
    function = ir.Function(writer.module, ir.FunctionType(I32, [PTR, PTR, PTR]), name)
    function.return_value.add_attribute("signext")  # as C compilers for RV64 expect it; others widen an int themselves
    b = Builder(function, program.target)
    image, probabilities, arena = function.args
    work = _aligned(b, arena, standalone.line)
    tensor = program.outputs[LOGITS]
    given = b.at(work, standalone.work[tensor.memory].offset + tensor.origin * tensor.bytes_each, I8)
    layout = _Layout.of(standalone, looks)
    logits = given
    if layout.end > standalone.work_bytes:
        logits = b.at(work, layout.sums, I8)
        seen = b.at(work, layout.seen, I8)
        for number, look in enumerate(looks):
            if not look.plain:
                _write_look(b, program.graph.input, image, seen, look)
            b.ir.call(network, [image if look.plain else seen, work])
            with b.loop(0, program.graph.classes) as (place, _):
                part = b.ir.fmul(b.load_scalar(given, place), float_bits(look.share))
                if number:
                    part = b.ir.fadd(b.load_scalar(logits, place), part)
                b.store_scalar(part, logits, place)
    else:
        b.ir.call(network, [image, work])
    if ending.thresholds is None:
        b.ir.ret(_write_class(b, logits, probabilities, ending))
    else:
        b.ir.ret(_write_labels(b, logits, probabilities, ending.thresholds))


def _aligned(b: Builder, address: IrValue, line: int) -> IrValue:
    """Return the first address from this one on that is a multiple of `line`."""
    place = b.ir.ptrtoint(address, b.word)
    return b.at(address, b.ir.and_(b.ir.sub(b.index(0), place), b.index(line - 1)), I8)


def _write_look(b: Builder, shape: ImageShape, image: IrValue, seen: IrValue, look: Look) -> None:
    """Write the image as a look sees it. What comes in at an edge is reflected there."""
    height, width, channels = shape.height, shape.width, shape.channels

    def source(place: Index, side: int, shift: int) -> Index:
        if not shift:
            return place
        moved = b.sub(place, shift)
        moved = b.maximum(moved, b.sub(0, moved))
        return b.minimum(moved, b.sub(2 * (side - 1), moved))

    with b.loop(0, height) as (row, _), b.loop(0, width) as (column, _):
        across = b.sub(width - 1, column) if look.mirrored else column
        # Mirrored is what was shifted.
        place = b.add(b.mul(source(row, height, look.shift), width), source(across, width, look.shift))
        read = b.at(image, b.mul(place, channels), I8)
        write = b.at(seen, b.mul(b.add(b.mul(row, width), column), channels), I8)
        for channel in range(channels):
            b.store_scalar(b.load_scalar(read, channel, I8), write, channel)


def _write_class(b: Builder, logits: IrValue, probabilities: IrValue, ending: Ending) -> IrValue:
    """Write the softmax, and return the first of the most probable classes."""
    classes = len(ending.class_names)
    carried = [b.load_scalar(logits, 0), int32(0)]
    with b.loop(1, classes, carried) as (place, values):
        value = b.load_scalar(logits, place)
        better = b.ir.fcmp_ordered(">", value, values[0])
        values[:] = [b.ir.select(better, value, values[0]), b.ir.select(better, b.as_i32(place), values[1])]
    top, best = carried = values
    with b.loop(0, classes, [float_bits(0.0)]) as (place, values):
        below = b.ir.fsub(b.load_scalar(logits, place), top)
        if ending.temperature != 1.0:
            below = b.ir.fdiv(below, float_bits(ending.temperature))
        share = exp(b, below)
        b.store_scalar(share, probabilities, place)
        values[0] = b.ir.fadd(values[0], share)
    total = values[0]
    with b.loop(0, classes) as (place, _):
        b.store_scalar(b.ir.fdiv(b.load_scalar(probabilities, place), total), probabilities, place)
    if ending.reject_below is None:
        return best
    largest = b.ir.fdiv(float_bits(1.0), total)  # the exponential of the largest is 1
    doubtful = b.ir.fcmp_ordered("<", largest, float_bits(ending.reject_below))
    return b.ir.select(doubtful, int32(UNKNOWN & 0xFFFFFFFF), best)


def _write_labels(b: Builder, logits: IrValue, probabilities: IrValue, thresholds: Sequence[float]) -> IrValue:
    """Write the sigmoid of each logit, and return how many labels are given."""
    written = _write_thresholds(b.function.module, thresholds)
    with b.loop(0, len(thresholds), [int32(0)]) as (place, values):
        probability = sigmoid(b, b.load_scalar(logits, place))
        b.store_scalar(probability, probabilities, place)
        above = b.ir.fcmp_ordered(">", probability, b.load_scalar(written, place))
        values[0] = b.ir.add(values[0], b.ir.zext(above, I32))
    return values[0]


def _write_thresholds(module: ir.Module, thresholds: Sequence[float]) -> ir.GlobalVariable:
    """Write thresholds as constants of float32, rounded down: what is above them is what is above the exact ones."""
    exact = np.array(thresholds)
    near = exact.astype(np.float32)
    below = np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)
    kind = ir.ArrayType(F32, len(thresholds))
    written = ir.GlobalVariable(module, kind, "thresholds")
    written.linkage, written.global_constant = "internal", True
    written.initializer = ir.Constant(kind, [float_bits(float(value)) for value in below])
    return written


def _write_names(module: ir.Module, name: str, class_names: Sequence[str]) -> None:
    pointers = []
    for number, text in enumerate(class_names):
        content = bytearray(text.encode() + b"\0")
        kind = ir.ArrayType(I8, len(content))
        entry = ir.GlobalVariable(module, kind, f"name_{number}")
        entry.linkage, entry.global_constant = "internal", True
        entry.initializer = ir.Constant(kind, content)
        pointers.append(entry)
    kind = ir.ArrayType(PTR, len(pointers))
    names = ir.GlobalVariable(module, kind, name)
    names.global_constant = True
    names.initializer = ir.Constant(kind, pointers)
