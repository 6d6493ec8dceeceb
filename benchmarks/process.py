"""Measuring in processes of their own, so that settings hold that libraries read only once.

A job goes to the child as JSON on its command line; its result comes back as the last line of its output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from benchmarks.machine import ROOT, choose_processors

TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
"""Settings of glibc's malloc under which it keeps memory between steps. They make PyTorch faster."""

NARROW = {
    "avx2": {
        "NEOCOG_CPU": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "DNNL_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
    "sse2": {
        "NEOCOG_CPU": "sse2",
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "DNNL_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    },
}
"""Settings that keep neocog and PyTorch to narrower instructions. PyTorch's narrowest, SSE4.1, is wider than ours."""

# What would bend the figures if it were left over in the user's environment.
_OURS = {name for settings in (TUNED, *NARROW.values()) for name in settings} | {"XLA_FLAGS"}


class JobError(Exception):
    """A job gave no figures; the message says why."""


def environment(threads: int, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return a child's environment: `threads` threads for every library that reads it there, and what is `extra`."""
    kept = {name: value for name, value in os.environ.items() if name not in _OURS}
    counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    several = "true" if threads > 1 else "false"
    jax = {"XLA_FLAGS": f"--xla_cpu_multi_thread_eigen={several}", "JAX_PLATFORMS": "cpu"}
    # No process beside the one that is timed: no statistics sent by OpenVINO, no pool of helpers of torch.compile.
    quiet = {"CI": "true", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    return {**kept, **counts, **jax, **quiet, **(extra or {})}


@contextmanager
def on_processors(threads: int) -> Iterator[None]:
    """Keep children started here to as many processors as threads: the only limit that every library obeys."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, choose_processors(threads))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run(module: str, job: Mapping[str, object], threads: int, extra: Mapping[str, str] | None = None) -> Any:
    """Call `benchmarks.<module>.inside(job)` in a process of its own and give what it returns.

    Raises:
        JobError: it failed.
    """
    command = [sys.executable, "-m", "benchmarks.process", module, json.dumps(job)]
    with on_processors(threads):
        done = subprocess.run(
            command, cwd=ROOT, env=environment(threads, extra), stdout=subprocess.PIPE, text=True, check=False
        )
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise JobError(f"the process ended with status {done.returncode}") from None
    if "error" in answer:
        raise JobError(answer["error"])
    return answer["result"]


def say(text: str) -> None:
    """Tell the user what is going on."""
    print(text, file=sys.stderr, flush=True)


def reason(error: BaseException) -> str:
    """Return an error as one short line."""
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"{error.name.split('.')[0]} is not installed"
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__


def _child(module: str, job: str) -> None:
    from importlib import import_module

    try:
        answer = {"result": import_module(f"benchmarks.{module}").inside(json.loads(job))}
    except (Exception, SystemExit) as error:
        answer = {"error": reason(error)}
    print("\n" + json.dumps(answer))


if __name__ == "__main__":
    _child(*sys.argv[1:])
