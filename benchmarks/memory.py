"""Peak resident memory of training, each side in a process of its own, with its allocator as users find it."""

from __future__ import annotations

import resource
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from benchmarks.figures import Row, summarise
from benchmarks.networks import NETWORKS
from benchmarks.options import Options
from benchmarks.process import JobError, run, say
from benchmarks.sides import HOMES, TRAINING_SIDES, make_call, make_task

NETWORK = "photo"
STEPS = 10
PROCESSES, QUICK_PROCESSES = 3, 1


def measure(options: Options) -> Iterator[Row]:
    """Measure every side, on the largest number of threads."""
    threads = max(options.threads)
    peaks: dict[str, list[float]] = {}
    imports: dict[str, list[float]] = {}
    skipped: dict[str, str] = {}
    for turn in range(QUICK_PROCESSES if options.quick else PROCESSES):
        for name in TRAINING_SIDES:
            say(f"  memory: {name}, process {turn + 1}")
            try:
                got = run("memory", {"side": name, "threads": threads}, threads)
            except JobError as error:
                skipped[name] = str(error)
                continue
            peaks.setdefault(name, []).append(got["peak"])
            imports.setdefault(name, []).append(got["imports"])
    case = NETWORKS[NETWORK].case
    for what, seen in ((f"{case}, {STEPS} training steps", peaks), (f"{NETWORK}, only imported", imports)):
        figures = {name: summarise(values) for name, values in seen.items()}
        yield Row("peak memory of a process", what, threads, "MiB", figures, skipped)


def peak() -> float:
    """Give the largest resident memory of this process so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def inside(job: Mapping[str, Any]) -> dict[str, float]:
    """Measure one side, in the child."""
    import_module(f"benchmarks.sides.{HOMES[job['side']]}")
    imports = peak()
    call = make_call(job["side"], "training", make_task(NETWORKS[NETWORK], job["threads"]))
    for _ in range(STEPS):
        call()
    return {"imports": imports, "peak": peak()}
