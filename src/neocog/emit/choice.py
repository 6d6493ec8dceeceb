"""A function of which an object holds several versions for x86-64, one of which is chosen when a program is loaded.

    i32 NAME_predict(ptr, ptr, ptr)   an indirect function: the loader asks `choose` once, and calls go to what it names
    i32 NAME_level()                  which version that is, by its number in `LEVELS`

An indirect function (STT_GNU_IFUNC) needs no variable of ours: what was chosen lies where the loader keeps addresses.
To ask the processor in every call would take longer than a small network, since virtual machines intercept CPUID.

Sources: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2 (CPUID, XGETBV); System V ABI, x86-64
supplement, on STT_GNU_IFUNC.
"""

from __future__ import annotations

LEVELS = ("sse2", "avx2", "avx512")
"""What versions are called, behind NAME_predict_; the least first."""

_BASIC = {
    "ssse3": 9,
    "fma": 12,
    "cx16": 13,
    "sse4.1": 19,
    "sse4.2": 20,
    "movbe": 22,
    "popcnt": 23,
    "avx": 28,
    "f16c": 29,
}
_SAVES = 27  # beside these, in ECX of leaf 1: the system says in XCR0 which registers it keeps
_LATER = {"bmi": 3, "avx2": 5, "bmi2": 8}  # in EBX of leaf 7
_WIDE = {"avx512f": 16, "avx512dq": 17, "avx512cd": 28, "avx512bw": 30, "avx512vl": 31}  # likewise
_EXTENDED = {"lzcnt": 5}  # in ECX of leaf 0x80000001
_YMM, _ZMM = 0b110, 0b11100110  # registers that the system must keep, in XCR0

_TEXT = """
target triple = "{triple}"

declare i32 @{symbol}_predict_sse2(ptr, ptr, ptr)
declare i32 @{symbol}_predict_avx2(ptr, ptr, ptr)
declare i32 @{symbol}_predict_avx512(ptr, ptr, ptr)

@{symbol}_predict = ifunc i32 (ptr, ptr, ptr), ptr @choose

define internal ptr @choose() nounwind {{
  %level = call i32 @level()
  %narrow = icmp eq i32 %level, 0
  %wide = icmp eq i32 %level, 2
  %some = select i1 %wide, ptr @{symbol}_predict_avx512, ptr @{symbol}_predict_avx2
  %best = select i1 %narrow, ptr @{symbol}_predict_sse2, ptr %some
  ret ptr %best
}}

define signext i32 @{symbol}_level() nounwind {{
  %level = call i32 @level()
  ret i32 %level
}}

define internal i32 @level() nounwind noinline {{
entry:
  %zero = {ask}(i32 0, i32 0)
  %leaves = extractvalue {{ i32, i32, i32, i32 }} %zero, 0
  %old = icmp ult i32 %leaves, 7
  br i1 %old, label %least, label %newer
newer:
  %one = {ask}(i32 1, i32 0)
  %basic = extractvalue {{ i32, i32, i32, i32 }} %one, 2
  %saves = and i32 %basic, {saves}
  %silent = icmp eq i32 %saves, 0
  br i1 %silent, label %least, label %told
told:
  %both = call {{ i32, i32 }} asm sideeffect "xgetbv", "={{ax}},={{dx}},{{cx}},~{{dirflag}},~{{fpsr}},~{{flags}}"(i32 0)
  %kept = extractvalue {{ i32, i32 }} %both, 0
  %seven = {ask}(i32 7, i32 0)
  %later = extractvalue {{ i32, i32, i32, i32 }} %seven, 1
  %beyond = {ask}(i32 -2147483647, i32 0)
  %extended = extractvalue {{ i32, i32, i32, i32 }} %beyond, 2
  %a = and i32 %basic, {basic}
  %a1 = icmp eq i32 %a, {basic}
  %b = and i32 %later, {advanced}
  %b1 = icmp eq i32 %b, {advanced}
  %c = and i32 %extended, {extended}
  %c1 = icmp eq i32 %c, {extended}
  %d = and i32 %kept, {ymm}
  %d1 = icmp eq i32 %d, {ymm}
  %e = and i32 %later, {wide}
  %e1 = icmp eq i32 %e, {wide}
  %f = and i32 %kept, {zmm}
  %f1 = icmp eq i32 %f, {zmm}
  %ab = and i1 %a1, %b1
  %cd = and i1 %c1, %d1
  %ef = and i1 %e1, %f1
  %avx2 = and i1 %ab, %cd
  %avx512 = and i1 %avx2, %ef
  %first = zext i1 %avx2 to i32
  %second = zext i1 %avx512 to i32
  %level = add i32 %first, %second
  ret i32 %level
least:
  ret i32 0
}}
"""
_ASK = (
    'call { i32, i32, i32, i32 } asm sideeffect "cpuid", '
    '"={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}"'
)


def version_of(symbol: str, level: str) -> str:
    """Return the name of a version of NAME_predict."""
    return f"{symbol}_predict_{level}"


def choice_text(symbol: str, triple: str) -> str:
    """Return LLVM IR that chooses among the versions of `LEVELS`, which are other modules' functions.

    A version is taken where the processor has all that LLVM takes for granted of "haswell" and of "skylake-avx512", and
    the system keeps the registers.
    """
    return _TEXT.format(
        symbol=symbol,
        triple=triple,
        ask=_ASK,
        saves=1 << _SAVES,
        basic=_bits(_BASIC),
        advanced=_bits(_LATER),
        extended=_bits(_EXTENDED),
        wide=_bits(_WIDE),
        ymm=_YMM,
        zmm=_ZMM,
    )


def _bits(places: dict[str, int]) -> int:
    """Return a word with these bits, as LLVM writes it: with a sign."""
    word = sum(1 << place for place in places.values())
    return word - (1 << 32) if word >> 31 else word
