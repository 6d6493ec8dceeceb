"""Peak resident memory of training, each side in a process of its own, with its allocator as users find it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.figures import Row, summarise
from benchmarks.networks import NETWORKS
from benchmarks.options import Options
from benchmarks.process import JobError, run, say
from benchmarks.sides import HOMES, TRAINING_SIDES, make_call, make_task

MEASURED = ("photo", "resnet18")
STEPS = 10
PROCESSES, QUICK_PROCESSES = 3, 1


def measure(options: Options) -> Iterator[Row]:
    """Measure every side, on the largest number of threads; the first process of each compiles, the others need not."""
    for name in options.networks:
        if name in MEASURED:
            yield from _measure(name, options)


def _measure(network: str, options: Options) -> Iterator[Row]:
    threads = max(options.threads)
    case = f"{NETWORKS[network].case()}, {STEPS} training steps"
    first, warm, imports = f"{case}, empty caches", f"{case}, warm caches", f"{network}, only imported"
    seen: dict[str, dict[str, list[float]]] = {first: {}, warm: {}, imports: {}}
    skipped: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        caches = {"NEOCOG_CACHE": f"{folder}/neocog", "TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor"}
        for turn in range(1 + (QUICK_PROCESSES if options.quick else PROCESSES)):
            for name in [name for name in TRAINING_SIDES if name not in skipped]:
                say(f"  memory: {network}, {name}, process {turn + 1}")
                try:
                    got = run("memory", {"network": network, "side": name, "threads": threads}, threads, caches)
                except JobError as error:
                    skipped[name] = str(error)
                    continue
                seen[warm if turn else first].setdefault(name, []).append(got["peak"])
                seen[imports].setdefault(name, []).append(got["imports"])
    for what, values in seen.items():
        figures = {name: summarise(peaks) for name, peaks in values.items()}
        yield Row("peak memory of a process", what, threads, "MiB", figures, skipped)


def peak() -> float:
    """Return the largest resident memory of this process so far, MiB.

    It is asked of Linux' own table: getrusage begins with what the process had that started this one.
    """
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def inside(job: Mapping[str, Any]) -> dict[str, float]:
    """Measure one side, in the child."""
    import_module(f"benchmarks.sides.{HOMES[job['side']]}")
    imports = peak()
    call = make_call(job["side"], "training", make_task(NETWORKS[job["network"]], job["threads"]))
    for _ in range(STEPS):
        call()
    return {"imports": imports, "peak": peak()}
