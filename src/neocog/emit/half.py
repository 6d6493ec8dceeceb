"""bfloat16 in memory, float32 in registers: what is loaded, rounded and stored.

Rounding is to nearest, ties to even; numbers below 2 to the power of -126 become zero, and a NaN stays one. That is
what processors do that have an instruction for it, and the others do the same in a few more steps.
"""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.builder import F32, I8, I16, I32, Builder, Index, IrValue, int32
from neocog.emit.rounded import load_rounded, store_rounded
from neocog.plan.blocked import PLANE, Blocked
from neocog.plan.layout import Tensor
from neocog.plan.rounded import Rounded

EXPONENT, SIGN, QUIET = 0x7F800000, 0x80000000, 0x00400000
INSTRUCTION = "+avx512bf16"  # LLVM's name of what rounds 16 values at once


class _BrainFloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite has no class for."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BrainFloat)

    def __hash__(self) -> int:
        return hash(_BrainFloat)


def load_half(b: Builder, base: IrValue, offset: Index = 0) -> IrValue:
    """Load as many bfloat16 as a vector has lanes, as float32."""
    kind = ir.VectorType(I16, b.lanes)
    words = b.ir.load(b.at(base, offset, I16), typ=kind, align=2 * b.lanes)
    return b.ir.bitcast(b.ir.shl(b.ir.zext(words, b.vector_i32), b.splat_i32(16)), b.vector)


def store_half(b: Builder, value: IrValue, base: IrValue, offset: Index = 0) -> None:
    """Round a vector of float32, and store it."""
    b.ir.store(rounded(b, value), b.at(base, offset, I16), align=2 * b.lanes)


def as_half(b: Builder, value: IrValue) -> IrValue:
    """Return a vector of float32 as it would be if it had been stored as bfloat16."""
    return b.ir.bitcast(b.ir.shl(b.ir.zext(rounded(b, value), b.vector_i32), b.splat_i32(16)), b.vector)


def load_from(b: Builder, tensor: Tensor, base: IrValue, offset: Index = 0) -> IrValue:
    """Load a vector of a tensor, whatever it holds, as float32."""
    match tensor:
        case Blocked():
            return load_half(b, base, offset)
        case Rounded():
            return load_rounded(b, tensor, base, offset)
    return b.load(base, offset)


def load_one_from(b: Builder, tensor: Tensor, base: IrValue, offset: Index) -> IrValue:
    """Load one value of a tensor of float32 or bfloat16, as float32."""
    if not isinstance(tensor, Blocked):
        return b.load_scalar(base, offset)
    word = b.ir.zext(b.load_scalar(base, offset, I16), I32)
    return b.ir.bitcast(b.ir.shl(word, int32(16)), F32)


def store_to(b: Builder, value: IrValue, tensor: Tensor, base: IrValue, offset: Index = 0) -> None:
    """Store a vector of float32 as what a tensor holds."""
    match tensor:
        case Blocked():
            store_half(b, value, base, offset)
        case Rounded():
            store_rounded(b, value, base, offset)
        case _:
            b.store(value, base, offset)


def vector_of(b: Builder, tensor: Tensor, pixel: Index, channel: Index) -> Index:
    """Return where a vector of a pixel's channels lies in a tensor, whatever that holds."""
    if not isinstance(tensor, Blocked):
        return b.add(pixel, channel)
    plane, within = b.divmod(channel, PLANE)
    return b.add(pixel, b.add(b.mul(plane, tensor.plane_step), within))


def element(tensor: Tensor) -> ir.Type:
    """Return the type of what a tensor holds, as addresses count it."""
    if isinstance(tensor, Rounded):
        return I8
    return I16 if isinstance(tensor, Blocked) else F32


def rounded(b: Builder, value: IrValue) -> IrValue:
    """Return a vector of float32 as words of bfloat16."""
    words = ir.VectorType(I16, b.lanes)
    if b.lanes == 16 and INSTRUCTION in b.target.features.split(","):
        return b.ir.bitcast(_by_instruction(b, value), words)
    bits = b.ir.bitcast(value, b.vector_i32)
    odd = b.ir.and_(b.ir.lshr(bits, b.splat_i32(16)), b.splat_i32(1))
    nearest = b.ir.add(bits, b.ir.add(odd, b.splat_i32(0x7FFF)))
    tiny = b.ir.icmp_signed("==", b.ir.and_(bits, b.splat_i32(EXPONENT)), b.splat_i32(0))
    nearest = b.ir.select(tiny, b.ir.and_(bits, b.splat_i32(SIGN)), nearest)
    is_nan = b.ir.fcmp_unordered("uno", value, value)
    nearest = b.ir.select(is_nan, b.ir.or_(bits, b.splat_i32(QUIET)), nearest)
    return b.ir.trunc(b.ir.lshr(nearest, b.splat_i32(16)), words)


def _by_instruction(b: Builder, value: IrValue) -> IrValue:
    module, name = b.function.module, "llvm.x86.avx512bf16.cvtneps2bf16.512"
    function = module.globals.get(name)
    if function is None:
        given = ir.VectorType(_BrainFloat(), b.lanes)
        function = ir.Function(module, ir.FunctionType(given, [ir.VectorType(F32, b.lanes)]), name)
    return b.ir.call(function, [value])


def clear_around(b: Builder, base: IrValue, y: Blocked, image: Index, row: Index) -> None:
    """Write the zeros behind a row of each plane of an image, those before the first row, and those behind the last."""
    with b.loop(0, y.planes) as (plane, _):
        clear_gap(b, base, y, image, plane, row)


def clear_gap(b: Builder, base: IrValue, y: Blocked, image: Index, plane: Index, row: Index) -> None:
    """Write the zeros behind a row of one plane, and before it where it is the first."""
    origin = b.add(b.mul(image, y.image_step), b.mul(plane, y.plane_step))
    if y.lead:
        with b.loop(0, b.ir.select(b.less(row, 1), b.index(y.lead), b.index(0))) as (position, _):
            clear_position(b, base, b.add(origin, b.mul(b.sub(position, y.lead), PLANE)))
    begin = b.add(b.mul(row, y.line), y.width)
    end = b.ir.select(b.less(y.height - 2, row), b.index(y.behind), b.index(b.mul(b.add(row, 1), y.line)))
    with b.loop(begin, end) as (position, _):
        clear_position(b, base, b.add(origin, b.mul(position, PLANE)))


def fill_up(b: Builder, base: IrValue, y: Blocked, place: Index, channels: int) -> None:
    """Write zeros behind the last vector of a pixel, which begins at `place`, up to the end of its last plane."""
    for channel in range(-(-channels // b.lanes) * b.lanes, y.planes * PLANE, b.lanes):
        plane, within = divmod(channel, PLANE)
        store_half(b, b.splat(0.0), base, b.add(place, plane * y.plane_step + within))


def clear_position(b: Builder, base: IrValue, offset: Index) -> None:
    """Write 32 zeros."""
    line = b.at(base, offset, I16)
    for lane in range(0, PLANE // 2, b.lanes):
        b.ir.store(b.splat(0.0), b.at(line, lane), align=min(64, b.target.vector_bytes))
