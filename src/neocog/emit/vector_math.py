"""Exponentials and their relatives on float32 vectors, or on one float32: polynomials, written out, without branches,
tables or calls of a mathematical library.

The coefficients come from tools/fit_polynomials.py. Errors are in units in the last place (ulp) of the exact result,
the largest that were found on any of the instruction sets; tests/emit/test_vector_math.py holds them there.

Source of the reductions: Muller 2016, Elementary Functions, chapter 11 (Cody and Waite).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from llvmlite import ir

from neocog.emit.builder import I32, Builder, IrValue, int32

ROUNDING = 1.5 * 2.0**23  # added to a small float32, it leaves the nearest integer in the lowest bits
BIAS = 127  # of a float32's exponent, which begins behind MANTISSA bits
MANTISSA = 23
LOG2_E = 1 / math.log(2)
LN2_HIGH = 0.693145751953125  # 16 bits: times an exponent it is exact
LN2_LOW = math.log(2) - LN2_HIGH
ROOT_HALF_BITS = 0x3F3504F3  # sqrt(1/2) as a float32
TINY = 2.0**-126  # the smallest normal number

EXP = (0.4999999403953552, 0.1666652113199234, 0.04166838899254799, 0.00836874544620514, 0.0013814540579915047)
"""(exp(r) - 1 - r) / r² for |r| ≤ log(2) / 2."""
LOG = (
    *(0.3333333134651184, -0.2500081956386566, 0.20001226663589478, -0.16623356938362122),
    *(0.14201757311820984, -0.13160182535648346, 0.127615824341774, -0.07634500414133072),
)
"""(log(1 + f) - f + f²/2) / f³ for sqrt(1/2) ≤ 1 + f ≤ sqrt(2)."""
ERF = (
    *(1.128379225730896, 0.6366193890571594, 0.10277783125638962, -0.019153064116835594, -0.00016039659385569394),
    *(0.0016670279437676072, -0.0006328371237032115, 0.00011764134251279756, -9.256272278435063e-06),
)
"""-log(1 - erf(x)) / x for 0 ≤ x ≤ ERF_END, with the accuracy that erf(x) needs."""
ERF_END = 4.0  # erf is 1 from here on, to the last bit
NORMAL = tuple(coefficient / math.sqrt(2) ** (power + 1) for power, coefficient in enumerate(ERF))
"""-log(2 Φ(-x)) / x for 0 ≤ x ≤ NORMAL_END: ERF at x / sqrt(2)."""
NORMAL_END = ERF_END * math.sqrt(2)


def exp(b: Builder, x: IrValue) -> IrValue:
    """exp(x), within 0.9 ulp, and 1.2 without fused multiply-adds; 0 below x = -86.99, ∞ where it overflows."""
    x = at_least(b, at_most(b, x, 89.0), -87.5)
    power, rest = _power_of_two(b, x, BIAS - 1)  # half of 2^n: 2^128 is no float32, but exp(88.5) is
    twice = _polynomial(b, rest, [2.0, 2.0, *(2 * coefficient for coefficient in EXP)])
    return b.ir.fmul(twice, power)


def expm1_of_negative(b: Builder, x: IrValue) -> IrValue:
    """exp(x) - 1 for x ≤ 0, within 1 ulp; near 0 it keeps all digits of x."""
    power, rest = _power_of_two(b, at_least(b, x, -64.0), BIAS)
    less_one = b.multiply_add(b.ir.fmul(rest, rest), _polynomial(b, rest, EXP), rest)
    return b.multiply_add(power, less_one, b.ir.fsub(power, b.like(x, 1.0)))


def log(b: Builder, x: IrValue) -> IrValue:
    """log(x), within 0.9 ulp; -∞ for 0, NaN below."""
    is_tiny = b.ir.fcmp_ordered("<", x, b.like(x, TINY))
    normal = b.ir.select(is_tiny, b.ir.fmul(x, b.like(x, 2.0**32)), x)
    kind = _integers(x)
    bits = b.ir.bitcast(normal, kind)
    exponent = b.ir.ashr(b.ir.sub(bits, _integer(kind, ROOT_HALF_BITS)), _integer(kind, MANTISSA))
    mantissa = b.ir.bitcast(b.ir.sub(bits, b.ir.shl(exponent, _integer(kind, MANTISSA))), x.type)
    exponent = b.ir.sitofp(exponent, x.type)
    exponent = b.ir.select(is_tiny, b.ir.fsub(exponent, b.like(x, 32.0)), exponent)
    f = b.ir.fsub(mantissa, b.like(x, 1.0))
    square = b.ir.fmul(f, f)
    small = b.ir.fmul(b.ir.fmul(square, f), _polynomial(b, f, LOG))
    small = b.multiply_add(exponent, b.like(x, LN2_LOW), small)
    small = b.multiply_add(square, b.like(x, -0.5), small)
    result = b.multiply_add(exponent, b.like(x, LN2_HIGH), b.ir.fadd(f, small))
    is_finite = b.ir.fcmp_ordered("<", x, b.like(x, math.inf))
    result = b.ir.select(is_finite, result, x)
    outside = b.ir.select(b.ir.fcmp_ordered("==", x, b.like(x, 0.0)), b.like(x, -math.inf), b.like(x, math.nan))
    return b.ir.select(b.ir.fcmp_ordered("<=", x, b.like(x, 0.0)), outside, result)


def sigmoid(b: Builder, x: IrValue) -> IrValue:
    """1 / (1 + exp(-x)), within 2.5 ulp; 0 below x = -88.73."""
    one = b.like(x, 1.0)
    return b.ir.fdiv(one, b.ir.fadd(one, exp(b, b.ir.fneg(x))))


def tanh(b: Builder, x: IrValue) -> IrValue:
    """The hyperbolic tangent, within 2.5 ulp."""
    negative = expm1_of_negative(b, b.ir.fmul(absolute(b, x), b.like(x, -2.0)))
    return with_sign_of(b, b.ir.fdiv(negative, b.ir.fadd(b.like(x, 2.0), negative)), x)


def erf(b: Builder, x: IrValue) -> IrValue:
    """The error function, within 3 ulp."""
    size = absolute(b, x)
    slope = _polynomial(b, at_most(b, size, ERF_END), ERF)
    return with_sign_of(b, expm1_of_negative(b, b.ir.fneg(b.ir.fmul(size, slope))), x)


def normal_distribution(b: Builder, x: IrValue) -> IrValue:
    """The distribution function Φ(x) of the normal distribution, within 2^-23.8 absolute."""
    size = absolute(b, x)
    slope = _polynomial(b, at_most(b, size, NORMAL_END), NORMAL)
    half = b.ir.fmul(exp(b, b.ir.fneg(b.ir.fmul(size, slope))), b.like(x, 0.5))
    return b.ir.select(b.ir.fcmp_ordered("<", x, b.like(x, 0.0)), half, b.ir.fsub(b.like(x, 1.0), half))


def at_least(b: Builder, x: IrValue, bound: float) -> IrValue:
    """The larger of x and a constant; a NaN stays a NaN."""
    limit = b.like(x, bound)
    return b.ir.select(b.ir.fcmp_ordered(">", limit, x), limit, x)


def at_most(b: Builder, x: IrValue, bound: float) -> IrValue:
    """The smaller of x and a constant; a NaN stays a NaN."""
    limit = b.like(x, bound)
    return b.ir.select(b.ir.fcmp_ordered("<", limit, x), limit, x)


def absolute(b: Builder, x: IrValue) -> IrValue:
    """|x|."""
    return b.intrinsic("llvm.fabs", x.type, x)


def with_sign_of(b: Builder, x: IrValue, y: IrValue) -> IrValue:
    """|x| with the sign of y."""
    return b.intrinsic("llvm.copysign", x.type, x, y)


def _power_of_two(b: Builder, x: IrValue, bias: int) -> tuple[IrValue, IrValue]:
    """Return 2^(n + bias - 127) and r, with x = n log(2) + r and |r| hardly above log(2) / 2.

    The bias rides on the number that rounds: the sum's lowest bits are then the power's exponent as it is stored.
    """
    rounding = b.like(x, ROUNDING + bias)
    sum_ = b.multiply_add(x, b.like(x, LOG2_E), rounding)
    n = b.ir.fsub(sum_, rounding)
    rest = b.multiply_add(n, b.like(x, -LN2_LOW), b.multiply_add(n, b.like(x, -LN2_HIGH), x))
    kind = _integers(x)
    bits = b.ir.shl(b.ir.bitcast(sum_, kind), _integer(kind, MANTISSA))
    return b.ir.bitcast(bits, x.type), rest


def _polynomial(b: Builder, x: IrValue, coefficients: Sequence[float]) -> IrValue:
    """Return a polynomial by Horner's rule, lowest power first."""
    *lower, top = coefficients
    value = b.like(x, top)
    for coefficient in reversed(lower):
        value = b.multiply_add(value, x, b.like(x, coefficient))
    return value


def _integers(x: IrValue) -> ir.Type:
    """Return the type of 32-bit integers, as many as x has values."""
    return ir.VectorType(I32, x.type.count) if isinstance(x.type, ir.VectorType) else I32


def _integer(kind: ir.Type, number: int) -> ir.Constant:
    return ir.Constant(kind, [int32(number)] * kind.count) if isinstance(kind, ir.VectorType) else int32(number)
