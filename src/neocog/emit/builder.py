"""A thin layer over llvmlite's IR builder: loops with carried values, vectors, and addresses in elements.

Counts and positions are Python integers or IR values as wide as an address (`Builder.word`); arithmetic on integers
happens here and now, so that emitters need not care which they hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

from llvmlite import ir

from neocog.emit.writer import Result, Writer
from neocog.target.processor import Target

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
F32 = ir.FloatType()
PTR = ir.PointerType()

IrValue = Any  # a value of LLVM's: a constant, or what an instruction gives; llvmlite is untyped
Index = Any  # int, or an IrValue as wide as an address


def word_type(target: Target) -> ir.IntType:
    """Return the type of the integers that count: as wide as an address."""
    return I32 if target.word_bits == 32 else I64


class Builder:
    """Writes one function. `lanes` is the number of float32 values in a vector."""

    def __init__(self, function: ir.Function, target: Target) -> None:
        self.ir = Writer(function.append_basic_block("entry"))
        self.function = function
        self.target = target
        self.lanes = target.lanes
        self.word = word_type(target)
        self.vector = ir.VectorType(F32, self.lanes)
        self.vector_i32 = ir.VectorType(I32, self.lanes)

    # --- integers ---------------------------------------------------------------------------------------------

    def index(self, value: Index) -> IrValue:
        """Return an IR value for an index."""
        return _index(self.word, value) if isinstance(value, int) else value

    def add(self, x: Index, y: Index) -> Index:
        """x + y."""
        if isinstance(x, int) and isinstance(y, int):
            return x + y
        if isinstance(x, int):
            x, y = y, x
        return x if isinstance(y, int) and y == 0 else self.ir.add(x, self.index(y), flags=("nsw",))

    def sub(self, x: Index, y: Index) -> Index:
        """x - y."""
        if isinstance(x, int) and isinstance(y, int):
            return x - y
        return x if isinstance(y, int) and y == 0 else self.ir.sub(self.index(x), self.index(y), flags=("nsw",))

    def mul(self, x: Index, y: Index) -> Index:
        """x · y."""
        if isinstance(x, int) and isinstance(y, int):
            return x * y
        if isinstance(x, int):
            x, y = y, x
        if isinstance(y, int) and y in (0, 1):
            return x if y else 0
        return self.ir.mul(x, self.index(y), flags=("nsw",))

    def divmod(self, x: Index, y: int) -> tuple[Index, Index]:
        """Quotient and remainder of an index that is not negative."""
        if isinstance(x, int):
            return divmod(x, y)
        if y == 1:
            return x, 0
        quotient = self.ir.udiv(x, self.index(y))
        return quotient, self.ir.sub(x, self.ir.mul(quotient, self.index(y)))

    def minimum(self, x: Index, y: Index) -> Index:
        """The smaller of two indices."""
        if isinstance(x, int) and isinstance(y, int):
            return min(x, y)
        x, y = self.index(x), self.index(y)
        return self.ir.select(self.ir.icmp_signed("<", x, y), x, y)

    def maximum(self, x: Index, y: Index) -> Index:
        """The larger of two indices."""
        if isinstance(x, int) and isinstance(y, int):
            return max(x, y)
        x, y = self.index(x), self.index(y)
        return self.ir.select(self.ir.icmp_signed(">", x, y), x, y)

    def less(self, x: Index, y: Index) -> IrValue:
        """Whether x < y, as i1."""
        return self.ir.icmp_signed("<", self.index(x), self.index(y))

    # --- control ----------------------------------------------------------------------------------------------

    @contextmanager
    def loop(self, start: Index, stop: Index, carry: Sequence[IrValue] = ()) -> Iterator[tuple[IrValue, list[IrValue]]]:
        """Repeat the body for start ≤ index < stop.

        Yields the index and a list of the carried values. What the body leaves in the list goes into the next one;
        after the loop the list holds the final values.
        """
        before = self.ir.block
        head, body, done = (self.function.append_basic_block(name) for name in ("head", "body", "done"))
        self.ir.branch(head)
        self.ir.position_at_end(head)
        index = self.ir.phi(self.word)
        index.add_incoming(self.index(start), before)
        carried = []
        for value in carry:
            phi = self.ir.phi(value.type)
            phi.add_incoming(value, before)
            carried.append(phi)
        self.ir.cbranch(self.ir.icmp_signed("<", index, self.index(stop)), body, done)
        self.ir.position_at_end(body)
        values = list(carried)
        yield index, values
        after = self.ir.add(index, self.index(1), flags=("nsw",))
        index.add_incoming(after, self.ir.block)
        for phi, value in zip(carried, values, strict=True):
            phi.add_incoming(value, self.ir.block)
        self.ir.branch(head)
        self.ir.position_at_end(done)
        values[:] = carried

    @contextmanager
    def when(self, condition: IrValue) -> Iterator[None]:
        """Run the body if an i1 holds."""
        with self.ir.if_then(condition):
            yield

    # --- memory -----------------------------------------------------------------------------------------------

    def at(self, base: IrValue, offset: Index, element: ir.Type = F32) -> IrValue:
        """Return the address `offset` elements behind `base`."""
        if isinstance(offset, int) and offset == 0:
            return base
        return self.ir.gep(base, [self.index(offset)], inbounds=True, source_etype=element)

    def opaque(self, address: IrValue) -> IrValue:
        """Return the same address as a value of its own, so that LLVM does not look into how it was computed."""
        return self.ir.opaque(address)

    def in_turn(self, *values: IrValue) -> list[IrValue]:
        """Return values that are computed before what follows, where LLVM would put that off (`Target.puts_off`)."""
        return self.ir.settled(values) if self.target.puts_off else list(values)

    def load_scalar(self, base: IrValue, offset: Index, element: ir.Type = F32) -> IrValue:
        """Load one element."""
        return self.ir.load(self.at(base, offset, element), typ=element, align=_bytes(element))

    def store_scalar(self, value: IrValue, base: IrValue, offset: Index) -> None:
        """Store one element."""
        self.ir.store(value, self.at(base, offset, value.type), align=_bytes(value.type))

    def load(
        self, base: IrValue, offset: Index = 0, *, aligned: bool = True, kind: ir.VectorType | None = None
    ) -> IrValue:
        """Load a vector of float32, or of another type of 32 bits."""
        align = self.target.vector_bytes if aligned else 4
        return self.ir.load(self.at(base, offset), typ=kind or self.vector, align=align)

    def load_first(self, base: IrValue, offset: Index, count: int) -> IrValue:
        """Load the first `count` lanes of a vector, wherever they begin; the others are zeros."""
        lanes = ir.VectorType(ir.IntType(1), self.lanes)
        module, name = self.function.module, f"llvm.masked.load.v{self.lanes}f32.p0"
        declared = module.globals.get(name)
        if declared is None:
            declared = ir.Function(module, ir.FunctionType(self.vector, [PTR, I32, lanes, self.vector]), name)
        mask = ir.Constant(lanes, [int(lane < count) for lane in range(self.lanes)])
        return self.ir.read(declared, [self.at(base, offset), int32(4), mask, self.splat(0.0)])

    def store(self, value: IrValue, base: IrValue, offset: Index = 0, *, aligned: bool = True) -> None:
        """Store a vector of float32."""
        self.ir.store(value, self.at(base, offset), align=self.target.vector_bytes if aligned else 4)

    def prefetch(self, base: IrValue, offset: Index = 0, element: ir.Type = F32) -> None:
        """Ask for the cache line of an element that will be read; it may lie outside of all memory."""
        module, name = self.function.module, "llvm.prefetch.p0"
        declared = module.globals.get(name)
        if declared is None:
            declared = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, I32, I32, I32]), name)
        self.ir.hint(declared, [self.at(base, offset, element), *map(int32, (0, 3, 1))])  # read, all levels, data

    # --- vectors ----------------------------------------------------------------------------------------------

    def splat(self, scalar: IrValue | float) -> IrValue:
        """Return a vector with the same float32 in every lane."""
        if isinstance(scalar, int | float):
            return _splat(self.lanes, float(scalar))
        return self.spread(scalar, self.vector)

    def like(self, x: IrValue, number: float) -> IrValue:
        """Return a constant of the type of x: a float32 or a float64, or a vector of them with it in every lane."""
        return _constant(x.type, float(number))

    def splat_i32(self, number: Index) -> IrValue:
        """Return a vector with the same 32-bit integer in every lane."""
        if isinstance(number, int):
            return ir.Constant(self.vector_i32, [int32(number & 0xFFFFFFFF)] * self.lanes)
        return self.spread(self.as_i32(number), self.vector_i32)

    def as_i32(self, number: Index) -> IrValue:
        """Return the lowest 32 bits of an index."""
        number = self.index(number)
        return number if self.word is I32 else self.ir.trunc(number, I32)

    def spread(self, scalar: IrValue, kind: ir.VectorType) -> IrValue:
        """Return a vector of type `kind` with the same scalar in every lane."""
        nothing, first_lane, lanes = _spreading(kind)
        return self.ir.shuffle_vector(self.ir.insert_element(nothing, scalar, first_lane), nothing, lanes)

    def multiply_add(self, x: IrValue, y: IrValue, z: IrValue) -> IrValue:
        """x · y + z, in one rounding where the target has the instruction."""
        if not self.target.fma:
            return self.ir.fadd(self.ir.fmul(x, y), z)
        return self.intrinsic("llvm.fma", x.type, x, y, z)

    def intrinsic(self, name: str, kind: ir.Type, *values: IrValue) -> IrValue:
        """Call an LLVM intrinsic that takes and gives values of one type."""
        lanes, element = (f"v{kind.count}", kind.element) if isinstance(kind, ir.VectorType) else ("", kind)
        full = f"{name}.{lanes}{'f64' if isinstance(element, ir.DoubleType) else 'f32'}"
        module = self.function.module
        declared = module.globals.get(full)
        if declared is None:
            declared = ir.Function(module, ir.FunctionType(kind, [kind] * len(values)), full)
        return self.ir.call(declared, values)

    def pick(self, x: IrValue, y: IrValue, lanes: IrValue) -> IrValue:
        """Return, lane by lane, the value of two vectors that a number names: those of y follow those of x.

        Of AVX-512 alone (`Target.picks`); numbers count modulo that of all values.
        """
        module, name = self.function.module, "llvm.x86.avx512.vpermi2var.ps.512"
        declared = module.globals.get(name)
        if declared is None:
            kind = ir.FunctionType(self.vector, [self.vector, self.vector_i32, self.vector])
            declared = ir.Function(module, kind, name)
        return self.ir.call(declared, [x, lanes, y])

    def relu(self, x: IrValue) -> IrValue:
        """max(x, 0) lane by lane; a NaN stays a NaN."""
        zero = self.like(x, 0.0)
        return self.ir.select(self.ir.fcmp_ordered(">", zero, x), zero, x)


# Constants are asked for thousands of times, and each remembers how it is written.


@cache
def _index(kind: ir.IntType, value: int) -> ir.Constant:
    return ir.Constant(kind, value)


@cache
def _splat(lanes: int, value: float) -> IrValue:
    return _constant(ir.VectorType(F32, lanes), value)


@cache
def _constant(kind: ir.Type, value: float) -> IrValue:
    if not isinstance(kind, ir.VectorType):
        return ir.Constant(kind, value)
    return Result(kind, f"splat ({ir.Constant(kind.element, value)})" if value else "zeroinitializer")


@cache
def _spreading(kind: ir.VectorType) -> tuple[IrValue, IrValue, IrValue]:
    """Return what spreading a scalar over lanes is written with: no vector, lane 0, and lane 0 for every lane."""
    nothing = Result(kind, "poison")
    return nothing, ir.Constant(I32, 0), ir.Constant(ir.VectorType(I32, kind.count), None)


def _bytes(kind: ir.Type) -> int:
    if isinstance(kind, ir.IntType):
        return max(1, int(kind.width) // 8)
    return 8 if isinstance(kind, ir.DoubleType) else 4


def int32(value: int) -> ir.Constant:
    """Return a 32-bit constant, from a number that may use all 32 bits."""
    return ir.Constant(I32, value - (1 << 32) if value >= 1 << 31 else value)


def float_bits(value: float) -> ir.Constant:
    """Return a float32 constant."""
    return ir.Constant(F32, value)
