"""8-bit integers in memory, float32 in registers: what is loaded, rounded and stored.

Rounding is to nearest, ties to even: adding a large number leaves the nearest integer in the lowest bits of the sum.
"""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.builder import I8, Builder, Index, IrValue
from neocog.emit.vector_math import at_least, at_most
from neocog.nn.scales import SIGNED_LIMIT, UNSIGNED_LIMIT
from neocog.plan.rounded import Rounded

ROUNDING = 1.5 * 2.0**23
"""Numbers of float32 near this one are whole, and their lowest bits are those of the integer that was added."""


def load_bytes(b: Builder, base: IrValue, offset: Index = 0) -> IrValue:
    """Load as many bytes as a vector has lanes."""
    kind = ir.VectorType(I8, b.lanes)
    return b.ir.load(b.at(base, offset, I8), typ=kind, align=b.lanes)


def store_bytes(b: Builder, value: IrValue, base: IrValue, offset: Index = 0) -> None:
    """Store as many bytes as a vector has lanes."""
    b.ir.store(value, b.at(base, offset, I8), align=b.lanes)


def widened(b: Builder, value: IrValue, *, signed: bool) -> IrValue:
    """Return bytes as float32."""
    wide = b.ir.sext(value, b.vector_i32) if signed else b.ir.zext(value, b.vector_i32)
    return b.ir.sitofp(wide, b.vector)


def load_rounded(b: Builder, tensor: Rounded, base: IrValue, offset: Index = 0) -> IrValue:
    """Load a vector of integers, as float32."""
    return widened(b, load_bytes(b, base, offset), signed=tensor.signed)


def store_rounded(b: Builder, value: IrValue, base: IrValue, offset: Index = 0) -> None:
    """Store the integers that are nearest to a vector of float32; who calls sees to it that they fit."""
    store_bytes(b, b.ir.trunc(nearest(b, value), ir.VectorType(I8, b.lanes)), base, offset)


def limited(b: Builder, value: IrValue, *, signed: bool) -> IrValue:
    """Return numbers within the limits of 8-bit integers; those without a sign are never negative."""
    if not signed:
        return at_most(b, value, UNSIGNED_LIMIT)
    return at_least(b, at_most(b, value, SIGNED_LIMIT), -SIGNED_LIMIT)


def nearest(b: Builder, value: IrValue) -> IrValue:
    """Return numbers whose lowest bits are the integers nearest to float32, a vector of them or a single one."""
    integers = b.vector_i32 if isinstance(value.type, ir.VectorType) else ir.IntType(32)
    return b.ir.bitcast(b.ir.fadd(value, b.like(value, ROUNDING)), integers)
