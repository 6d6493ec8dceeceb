"""Processors that code is compiled for ahead of time, by the names that `neocog export --target` takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from neocog.target.named import LINUX, NAMED
from neocog.target.processor import Target

SHORT = 64  # multiply-adds of an innermost loop's body, where code lies in flash memory or browsers translate it


@dataclass(frozen=True, slots=True)
class AheadTarget:
    """A processor to compile for.

    Arguments:
        target: as plans see it.
        about: what it is, in a few words.
        compiler: flags of a C compiler for it, as GCC takes them.
        small: whether short code counts more than its speed: where it lies in flash memory.
        levels: names of the processors of which an object holds a version each, and chooses one; the least first.
    """

    target: Target
    about: str
    compiler: tuple[str, ...] = ()
    small: bool = False
    levels: tuple[str, ...] = ()


def _cortex(triple: str, cpu: str, fpu: str, about: str, features: str = "", lanes: int = 1) -> AheadTarget:
    # There are 32 registers of one value, but a tile that fills them is unrolled code for each of its pixels.
    system = f"{triple}-none-eabihf"
    target = Target(system, cpu, features, lanes, 8, fma=True, level1=16 << 10, level2=32 << 10, body=SHORT)
    return AheadTarget(target, about, (f"-mcpu={cpu}", "-mthumb", "-mfloat-abi=hard", f"-mfpu={fpu}"), small=True)


def _riscv(bits: int, system: str, features: str, lanes: int, arch: str, abi: str, about: str) -> AheadTarget:
    small = bits == 32
    target = Target(f"riscv{bits}-{system}", f"generic-rv{bits}", features, lanes, 32, fma=True, level2=256 << 10)
    if small:
        target = replace(target, registers=8, level1=16 << 10, level2=32 << 10, body=SHORT)
    return AheadTarget(target, about, (f"-march={arch}", f"-mabi={abi}"), small)


AHEAD: dict[str, AheadTarget] = {
    "x86-64": AheadTarget(
        NAMED["SSE2"],
        "any x86-64 processor, by AVX-512 or AVX2 where it has them",
        ("-m64",),
        levels=("x86-64-sse2", "x86-64-avx2", "x86-64-avx512"),
    ),
    "x86-64-sse2": AheadTarget(NAMED["SSE2"], "any x86-64 processor", ("-m64",)),
    "x86-64-avx2": AheadTarget(NAMED["AVX2"], "x86-64 with AVX2 and FMA (2013 and later)", ("-m64",)),
    "x86-64-avx512": AheadTarget(NAMED["AVX-512"], "x86-64 with AVX-512 F, VL, BW and DQ", ("-m64",)),
    "aarch64": AheadTarget(NAMED["NEON"], "64-bit ARM: phones, Raspberry Pi 3 and later, servers"),
    "aarch64-dotprod": AheadTarget(
        replace(NAMED["NEON"], features="+neon,+dotprod"),
        "64-bit ARM that multiplies bytes: Cortex-A55 and A76 and later, Raspberry Pi 5, Graviton2, Apple M1",
    ),
    "armv7a": AheadTarget(
        Target("armv7a-unknown-linux-gnueabihf", "cortex-a7", "+vfp4,+neon", 4, 16, fma=True, level2=256 << 10),
        "32-bit ARM with NEON and VFPv4: Raspberry Pi 2 and later",
        ("-mcpu=cortex-a7", "-mfpu=neon-vfpv4", "-mfloat-abi=hard"),
    ),
    "cortex-m4": _cortex("thumbv7em", "cortex-m4", "fpv4-sp-d16", "ARM Cortex-M4 with its FPU"),
    "cortex-m7": _cortex("thumbv7em", "cortex-m7", "fpv5-sp-d16", "ARM Cortex-M7 with an FPU", "-fp64"),
    "cortex-m33": _cortex("thumbv8m.main", "cortex-m33", "fpv5-sp-d16", "ARM Cortex-M33 with its FPU"),
    "cortex-m55": _cortex("thumbv8.1m.main", "cortex-m55", "auto", "ARM Cortex-M55 with Helium (MVE)", lanes=4),
    "rv64": _riscv(64, LINUX, "+m,+a,+f,+d,+c", 1, "rv64gc", "lp64d", "64-bit RISC-V, RV64GC"),
    "rv64v": _riscv(
        64, LINUX, "+m,+a,+f,+d,+c,+v,+zvl128b", 4, "rv64gcv", "lp64d", "64-bit RISC-V with vectors, RV64GCV"
    ),
    "rv32": _riscv(32, "unknown-elf", "+m,+a,+f,+c", 1, "rv32imafc", "ilp32f", "32-bit RISC-V, RV32IMAFC"),
    "rv32v": _riscv(
        32, "unknown-elf", "+m,+a,+f,+c,+zve32f,+zvl128b", 4, "rv32imafc", "ilp32f", "RV32IMAFC with vectors (Zve32f)"
    ),
    "wasm32": AheadTarget(
        # Browsers translate long bodies badly, and keep one of x86's 16 registers for themselves.
        Target("wasm32-unknown-unknown", "generic", "+simd128,+bulk-memory", 4, 15, fma=False, body=SHORT),
        "WebAssembly with SIMD128",
        ("--target=wasm32", "-msimd128"),
    ),
}
"""What can be compiled for, beside the machine at hand."""
