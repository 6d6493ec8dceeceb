"""The largest of a window, and which of its cells that was."""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from neocog.emit.builder import I8, Builder, IrValue
from neocog.plan.layout import Tensor

NO_CELL = -1  # the argmax where a ReLU stops every cell; as a byte of a mask, NO_CELL of the plan


def mask_type(tensor: Tensor) -> ir.IntType:
    """Return the integer type that a mask stores."""
    return I8 if tensor.bytes_each == 1 else ir.IntType(32)


def largest(b: Builder, cells: Sequence[IrValue], *, ask: bool) -> tuple[IrValue, IrValue | None]:
    """Return the largest of some vectors, lane by lane, and the place of the first such cell.

    A NaN among them makes the result a NaN. Of integers nobody asks for the place.
    """
    value, argmax = cells[0], b.splat_i32(0)
    if value.type == b.vector_i32:
        for cell in cells[1:]:
            value = b.ir.select(b.ir.icmp_signed(">", cell, value), cell, value)
        return value, None
    for place, cell in enumerate(cells[1:], 1):
        better = b.ir.fcmp_ordered(">", cell, value)
        value = b.ir.select(better, cell, value)
        if ask:
            argmax = b.ir.select(better, b.splat_i32(place), argmax)
    broken = None  # a comparison with a NaN does not say which side it is on, so one asks for two cells
    for first in range(0, len(cells), 2):
        pair = cells[first], cells[min(first + 1, len(cells) - 1)]
        either = b.ir.fcmp_unordered("uno", *pair)
        broken = either if broken is None else b.ir.or_(broken, either)
    value = b.ir.select(broken, b.splat(float("nan")), value)
    return value, argmax if ask else None


def stopped(b: Builder, value: IrValue, argmax: IrValue) -> IrValue:
    """Return the argmax, or `NO_CELL` where the value is not above zero."""
    return b.ir.select(b.ir.fcmp_ordered(">", value, b.splat(0.0)), argmax, b.splat_i32(NO_CELL))


def store_argmax(b: Builder, argmax: IrValue, address: IrValue, kind: ir.IntType) -> None:
    """Store which cells were the largest as integers of a type."""
    if kind is I8:
        argmax = b.ir.trunc(argmax, ir.VectorType(I8, b.lanes))
    b.ir.store(argmax, address, align=kind.width // 8)


def load_argmax(b: Builder, address: IrValue, kind: ir.IntType) -> IrValue:
    """Load which cells were the largest as 32-bit integers."""
    value = b.ir.load(address, typ=ir.VectorType(kind, b.lanes), align=kind.width // 8)
    return b.ir.zext(value, b.vector_i32) if kind is I8 else value
