"""What a figure was measured on: processor, versions, date, and the processors that a number of threads gets."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("numpy", "llvmlite", "torch", "jax", "onnx", "onnxruntime", "openvino")
ROOT = Path(__file__).resolve().parents[1]


def processor() -> str:
    """Name the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def vector_sets() -> str:
    """Name the widest vector instructions that Linux reports, or nothing where it does not tell."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0].split()
    except (OSError, IndexError):
        return ""
    return next(
        (name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2"), ("avx", "AVX")) if flag in flags), ""
    )


def commit() -> str:
    """Name the commit of the working tree, with a mark if it was changed since; empty outside of git."""
    try:
        command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def describe() -> dict[str, str]:
    """Describe date, machine and versions; what is not installed is left out."""
    vectors, libc = vector_sets(), " ".join(platform.libc_ver())
    facts = {
        "date": datetime.date.today().isoformat(),
        "processor": processor()
        + (f" with {vectors}" if vectors else "")
        + f", {usable()} of {os.cpu_count()} processors usable",
        "system": f"{platform.system()} {platform.machine()} {libc}".strip(),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "neocog": commit(),
    }
    for package in PACKAGES:
        try:
            facts[package] = version(package)
        except PackageNotFoundError:
            continue
    return {name: value for name, value in facts.items() if value}


def usable() -> int:
    """Count the processors that this process may use."""
    return len(os.sched_getaffinity(0))


def choose_processors(threads: int) -> set[int]:
    """Choose processors for `threads` threads: of different cores, as long as there are any.

    Raises:
        SystemExit: this process may not use as many.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if not 1 <= threads <= len(allowed):
        raise SystemExit(f"--threads {threads}: this process may use 1 to {len(allowed)} processors")
    firsts = [number for number in allowed if min(_siblings(number) & set(allowed)) == number]
    return set((firsts + [number for number in allowed if number not in firsts])[:threads])


def _siblings(number: int) -> set[int]:
    """Return the processors that share a core with one, itself among them."""
    path = Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list")
    try:
        text = path.read_text().strip()
    except OSError:
        return {number}
    found = {number}
    for part in text.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
