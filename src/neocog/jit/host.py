"""What this machine is: its processor as a Target."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache

import llvmlite.binding as llvm

from neocog.errors import EngineError, SettingError
from neocog.system import at_forks, data_cache_bytes, has_dot_products, permit_tiles
from neocog.target.processor import Target, architecture_of


@cache
def initialise_llvm() -> None:
    """Make LLVM ready to write code for every architecture that llvmlite carries."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    _fork_between_calls()


def _fork_between_calls() -> None:
    """Have forks wait until no thread is inside LLVM.

    The child would otherwise inherit LLVM in the middle of its work, with locks that nobody will ever open. A fork
    waits for one call, at most while a piece of a module is compiled.
    """
    lock = getattr(llvm.ffi.lib, "_lock", None)  # llvmlite lets one thread at a time into LLVM
    if lock is None:
        return
    held: list[bool] = []

    def take() -> None:
        lock.__enter__()
        held.append(True)

    def release() -> None:
        while held:
            held.pop()
            lock.__exit__(None, None, None)

    at_forks(before=take, in_parent=release, in_child=release)


def runs_here(triple: str) -> bool:
    """Whether this machine runs code for a triple: of its architecture, in the object files that its system has."""
    initialise_llvm()
    here = llvm.get_process_triple()
    same = llvm.get_object_format(triple) == llvm.get_object_format(here)
    return same and architecture_of(triple) == architecture_of(here)


def make_target(
    cpu: str, features: dict[str, bool], triple: str, level1: int = 32 << 10, level2: int = 1 << 20
) -> Target:
    """Describe a processor from LLVM's names for it.

    Arguments:
        cpu: LLVM's name of the model, such as "haswell".
        features: LLVM's feature names and whether the processor has them.
        triple: LLVM's name of architecture and system.
        level1, level2: sizes of the data caches of one core, bytes.
    """
    arm = architecture_of(triple) == "aarch64"
    if not arm:
        # LLVM would otherwise avoid 512-bit registers on processors that used to slow down for them.
        features = {**features, "prefer-256-bit": False}
    text = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(features.items()))
    if arm:
        lanes, registers, fma = 4, 32, True
    elif features.get("avx512f"):
        lanes, registers, fma = 16, 32, True
    elif features.get("avx"):
        lanes, registers, fma = 8, 16, bool(features.get("fma"))
    else:
        lanes, registers, fma = 4, 16, False
    return Target(triple, cpu, text, lanes, registers, fma, level1, level2)


@cache
def host_target() -> Target:
    """Describe this machine's processor.

    NEOCOG_CPU names another one to write code for: "avx512", "avx2" or "sse2" use no instruction beyond that set, and
    on 64-bit ARM "neon" none beyond what every such processor has.
    """
    initialise_llvm()
    triple = llvm.get_process_triple()
    features = dict(llvm.get_host_cpu_features())
    dots = has_dot_products() if architecture_of(triple) == "aarch64" else None
    if dots is not None:  # LLVM does not tell of every system
        features["dotprod"] = dots
    level1, level2 = data_cache_bytes(1) or 32 << 10, data_cache_bytes(2) or 1 << 20
    narrowed = os.environ.get("NEOCOG_CPU")
    if narrowed:
        known = NARROWED_ARM if architecture_of(triple) == "aarch64" else NARROWED
        if narrowed not in known:
            raise SettingError(f"NEOCOG_CPU must be one of {', '.join(known)}, got {narrowed!r}")
        cpu, wanted = known[narrowed]
        missing = [name for name in wanted if not features.get(name)]
        if missing:
            raise SettingError(f"NEOCOG_CPU={narrowed}: this processor has no {', '.join(missing)}")
        return make_target(cpu, wanted, triple, level1, level2)
    return make_target(llvm.get_host_cpu_name(), features, triple, level1, level2)


def with_tiles(target: Target) -> Target:
    """Return a processor as one that multiplies tiles of bfloat16, if it does and this process may; else as it is.
    Where it also multiplies tiles of bytes, these are planned too.

    Threads that are there already may then use the registers, and so may those to come and forked processes.
    """
    if has_tiles(target) and _tiles_permitted():
        return replace(target, tiles=True, byte_tiles=target.has("amx-int8"))
    return target


def check_tiles(target: Target) -> None:
    """Check that this process may run a program for a target: one with tiles may come from another process.

    Raises:
        EngineError: it has tiles, and this process may not use them: the first instruction would end it.
    """
    if target.tiles and not (has_tiles(host_target()) and _tiles_permitted()):
        raise EngineError(
            f"the program is for tile registers (AMX), which this process cannot use: {why_no_tiles()}",
            hint='make the engine anew in this process: NativeEngine(precision="bfloat16")',
        )


def why_no_tiles() -> str | None:
    """Return why tiles of bfloat16 are not multiplied by this processor's own instructions; None where they are."""
    named = os.environ.get("NEOCOG_CPU")
    if not has_tiles(host_target()):
        return f"NEOCOG_CPU={named} is a processor without AMX" if named else "this processor has no AMX"
    return None if _tiles_permitted() else "the system does not let this process use AMX"


def has_tiles(target: Target) -> bool:
    """Whether a processor has what tiles of bfloat16 are multiplied with, permitted or not."""
    return target.architecture == "x86" and target.has(*TILE_FEATURES)


@cache
def _tiles_permitted() -> bool:
    return permit_tiles()


TILE_FEATURES = ("amx-tile", "amx-bf16")

NARROWED: dict[str, tuple[str, dict[str, bool]]] = {
    "avx512": ("skylake-avx512", {"avx512f": True, "avx512vl": True, "avx512bw": True, "avx512dq": True}),
    "avx2": ("haswell", {"avx": True, "avx2": True, "fma": True}),
    "sse2": ("x86-64", {"sse2": True}),
}
NARROWED_ARM: dict[str, tuple[str, dict[str, bool]]] = {"neon": ("generic", {})}
