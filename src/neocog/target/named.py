"""Kinds of processors by name, to plan and write code for machines other than the one at hand."""

from __future__ import annotations

from neocog.target.processor import Target

LINUX = "unknown-linux-gnu"

NAMED: dict[str, Target] = {
    "AVX-512": Target(f"x86_64-{LINUX}", "skylake-avx512", "", lanes=16, registers=32, fma=True),
    "AVX2": Target(f"x86_64-{LINUX}", "haswell", "", lanes=8, registers=16, fma=True),
    "SSE2": Target(f"x86_64-{LINUX}", "x86-64", "", lanes=4, registers=16, fma=False),
    "NEON": Target(f"aarch64-{LINUX}", "generic", "+neon", lanes=4, registers=32, fma=True),
}
"""The widest vectors first; every machine that neocog runs on has at least one of them."""
