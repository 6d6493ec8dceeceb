"""Sums of four products of bytes at a time: of a word of an image, in every lane, and a word of weights of each filter.

Weights have a sign. Processors have several ways to the same integers (`Target.dot`):

- "quads": x86's VNNI adds four products of bytes without and with a sign up; an image with a sign is taken as 128 more.
- "signed quads": so do ARM's instructions for dot products, of bytes with a sign; one without is taken as 128 less.
- "pairs": x86 and WebAssembly add two products of 16 bits; bytes are widened, even and odd ones.
- "two": Cortex-M's instructions for signals do that in general registers, one filter at a time.
- "bytes": all others multiply one byte after the other.

What is taken off an image, its layer's bias has in it (`Target.image_shift`).
"""

from __future__ import annotations

from llvmlite import ir

from neocog.emit.builder import I8, I16, I32, Builder, IrValue

SIGN_BITS = 0x80808080
EVEN_BYTES = 0x00FF00FF


def add_dot(b: Builder, total: IrValue, image: IrValue, weights: IrValue, *, signed: bool) -> IrValue:
    """Return sums and four products more in each lane.

    Arguments:
        total: sums, 32 bits each.
        image: a word of it, in every lane.
        weights: a word of each lane's filter.
        signed: whether the image's bytes have a sign.
    """
    match b.target.dot:
        case "quads":
            shifted = _shifted(b, image) if signed else image
            return _call(b, f"llvm.x86.avx512.vpdpbusd.{32 * b.lanes}", total, shifted, weights)
        case "signed quads":
            shifted = image if signed else _shifted(b, image)
            kind = ir.VectorType(I8, 4 * b.lanes)
            given = (b.ir.bitcast(word, kind) for word in (shifted, weights))
            return _call(b, "llvm.aarch64.neon.sdot.v4i32.v16i8", total, *given)
        case "pairs":
            for x, w in zip(_halves(b, image, signed=signed), _halves(b, weights, signed=True), strict=True):
                total = b.ir.add(total, _call(b, PAIRS[b.target.architecture, b.lanes], x, w, gives=b.vector_i32))
            return total
        case "two":
            return _in_general_registers(b, total, image, weights, signed=signed)
        case _:
            return add_byte_by_byte(b, total, image, weights, signed=signed)


def add_byte_by_byte(b: Builder, total: IrValue, image: IrValue, weights: IrValue, *, signed: bool) -> IrValue:
    """Return what `add_dot` returns, in the way of any processor, which takes no byte to be more than it is."""
    # A vector of one lane is a number: some of LLVM's backends have it wrong.
    alone = b.lanes == 1
    if alone:
        total, image, weights = (b.ir.bitcast(value, I32) for value in (total, image, weights))
    for place in range(4):
        x, w = _byte(b, image, place, signed=signed), _byte(b, weights, place, signed=True)
        total = b.ir.add(total, b.ir.mul(x, w))
    return b.ir.bitcast(total, b.vector_i32) if alone else total


PAIRS = {
    ("x86", 16): "llvm.x86.avx512.pmaddw.d.512",
    ("x86", 8): "llvm.x86.avx2.pmadd.wd",
    ("x86", 4): "llvm.x86.sse2.pmadd.wd",
    ("wasm", 4): "llvm.wasm.dot",
}
"""What multiplies 16 bits and adds pairs of products up, by architecture and lanes."""


def _shifted(b: Builder, words: IrValue) -> IrValue:
    """Return bytes plus 128.

    Two of LLVM's passes would take turns for ever to move this in front of what spreads the word over the lanes, and
    behind it again. A fence for floating-point numbers, which becomes no code, keeps both from looking.
    """
    kept = b.intrinsic("llvm.arithmetic.fence", b.vector, b.ir.bitcast(words, b.vector))
    return b.ir.xor(b.ir.bitcast(kept, b.vector_i32), b.splat_i32(SIGN_BITS))


def _halves(b: Builder, words: IrValue, *, signed: bool) -> tuple[IrValue, IrValue]:
    """Return the even and the odd bytes of each word in 16 bits each."""
    kind = ir.VectorType(I16, 2 * b.lanes)
    eight = ir.Constant(kind, [ir.Constant(I16, 8)] * (2 * b.lanes))
    wide = b.ir.bitcast(words, kind)
    if signed:
        return b.ir.ashr(b.ir.shl(wide, eight), eight), b.ir.ashr(wide, eight)
    return b.ir.bitcast(b.ir.and_(words, b.splat_i32(EVEN_BYTES)), kind), b.ir.lshr(wide, eight)


def _byte(b: Builder, words: IrValue, place: int, *, signed: bool) -> IrValue:
    """Return one byte of each word."""

    def constant(number: int) -> IrValue:
        return b.splat_i32(number) if isinstance(words.type, ir.VectorType) else ir.Constant(I32, number)

    if signed:
        return b.ir.ashr(b.ir.shl(words, constant(24 - 8 * place)), constant(24))
    return b.ir.and_(b.ir.lshr(words, constant(8 * place)), constant(0xFF))


def _in_general_registers(b: Builder, total: IrValue, image: IrValue, weights: IrValue, *, signed: bool) -> IrValue:
    """Add products for the one lane there is."""
    total, image, weights = (b.ir.bitcast(value, I32) for value in (total, image, weights))
    for shift in (0, 8):
        x, w = (b.ir.lshr(word, ir.Constant(I32, shift)) if shift else word for word in (image, weights))
        x = _call(b, "llvm.arm.sxtb16" if signed else "llvm.arm.uxtb16", x)
        total = _call(b, "llvm.arm.smlad", x, _call(b, "llvm.arm.sxtb16", w), total)
    return b.ir.bitcast(total, b.vector_i32)


def _call(b: Builder, name: str, *values: IrValue, gives: ir.Type | None = None) -> IrValue:
    module = b.function.module
    declared = module.globals.get(name)
    if declared is None:
        kind = ir.FunctionType(gives or values[0].type, [value.type for value in values])
        declared = ir.Function(module, kind, name)
    return b.ir.call(declared, values)
