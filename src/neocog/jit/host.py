"""What this machine is: its processor as a Target, and how many threads this process may use."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm

from neocog.errors import SettingError
from neocog.plan.target import Target


@cache
def initialise_llvm() -> None:
    """Make LLVM ready to write code for every architecture that llvmlite carries."""
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


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
    # LLVM would otherwise avoid 512-bit registers on processors that used to slow down for them.
    features = {**features, "prefer-256-bit": False}
    text = ",".join(f"{'+' if on else '-'}{name}" for name, on in sorted(features.items()))
    architecture = triple.split("-")[0]
    if architecture in ("aarch64", "arm64"):
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

    NEOCOG_CPU names another one to write code for: "avx512", "avx2" or "sse2" use no instruction beyond that set.
    """
    initialise_llvm()
    triple = llvm.get_process_triple()
    features = dict(llvm.get_host_cpu_features())
    level1, level2 = _cache_size(1) or 32 << 10, _cache_size(2) or 1 << 20
    narrowed = os.environ.get("NEOCOG_CPU")
    if narrowed:
        if narrowed not in NARROWED:
            raise SettingError(f"NEOCOG_CPU must be one of {', '.join(NARROWED)}, got {narrowed!r}")
        cpu, wanted = NARROWED[narrowed]
        missing = [name for name in wanted if not features.get(name)]
        if missing:
            raise SettingError(f"NEOCOG_CPU={narrowed}: this processor has no {', '.join(missing)}")
        return make_target(cpu, wanted, triple, level1, level2)
    return make_target(llvm.get_host_cpu_name(), features, triple, level1, level2)


NARROWED: dict[str, tuple[str, dict[str, bool]]] = {
    "avx512": ("skylake-avx512", {"avx512f": True, "avx512vl": True, "avx512bw": True, "avx512dq": True}),
    "avx2": ("haswell", {"avx": True, "avx2": True, "fma": True}),
    "sse2": ("x86-64", {"sse2": True}),
}


def _cache_size(level: int) -> int | None:
    """Ask Linux for the size of a data cache, bytes; None where it does not tell."""
    for entry in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            if (entry / "level").read_text().strip() != str(level) or "Instruction" in (entry / "type").read_text():
                continue
            text = (entry / "size").read_text().strip()
            return int(text.removesuffix("K")) << (10 if text.endswith("K") else 0)
        except (OSError, ValueError):
            continue
    return None


def available_threads() -> int:
    """Count the processors that this process may use: its affinity, cut to the quota of its control group."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, min(affinity, math.ceil(quota)) if quota else affinity)


def _cgroup_quota() -> float | None:
    """Read how many processors' worth of time this control group gets; None where there is no limit."""
    try:
        limit, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    try:
        folder = Path("/sys/fs/cgroup/cpu")
        limit_us = int((folder / "cpu.cfs_quota_us").read_text())
        return limit_us / int((folder / "cpu.cfs_period_us").read_text()) if limit_us > 0 else None
    except (OSError, ValueError):
        return None
