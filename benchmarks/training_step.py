"""Time one training step of neocog against PyTorch, side by side in one process.

    python benchmarks/training_step.py [--threads 1 2] [--rounds 40] [--json FILE]

The network is the article's (conv 32 - pool - conv 64 - pool - fc 128 - fc 10 on 28 × 28 × 1), batch 64, SGD with
momentum 0.9, float32. PyTorch runs eagerly, in both memory formats, with its allocator tuned so that it does not give
memory back to the system between steps (this makes it faster); the better of the two counts. Both sides start from
the same weights, see the same batch, use the same number of threads, and must agree on the loss of the first steps
before anything is timed. Rounds alternate between the sides; medians are compared.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

TUNED = {
    "MALLOC_MMAP_THRESHOLD_": "4000000000",
    "MALLOC_TRIM_THRESHOLD_": "8000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
STEPS_A_ROUND = 10
BATCH = 64
LEARNING_RATE = 0.01


def measure(threads: int, rounds: int) -> dict[str, object]:
    """Time both sides on `threads` threads, in this process."""
    import numpy as np
    import torch

    from neocog.engines.base import StepSettings
    from neocog.engines.native import NativeEngine
    from neocog.engines.torch import build_module
    from neocog.model.graph import trace
    from neocog.model.losses import CrossEntropy
    from neocog.model.optimizers import SGD
    from neocog.model.parameters import initial_parameters
    from neocog.model.zoo import article

    torch.set_num_threads(threads)
    graph = trace(article(), (28, 28, 1))
    random = np.random.default_rng(0)
    images = random.random((BATCH, 28, 28, 1), np.float32)
    labels = random.integers(0, 10, BATCH).astype(np.int32)
    parameters = initial_parameters(graph)
    settings = StepSettings(CrossEntropy(), SGD(LEARNING_RATE, momentum=0.9), BATCH)
    native = NativeEngine().stepper(graph, parameters, settings, threads)

    def torch_step(memory_format: torch.memory_format) -> Callable[[], float]:
        module = build_module(graph, parameters).to(memory_format=memory_format)
        optimizer = torch.optim.SGD(module.parameters(), LEARNING_RATE, momentum=0.9)
        criterion = torch.nn.CrossEntropyLoss()
        x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).to(memory_format=memory_format)
        y = torch.from_numpy(labels.astype(np.int64))

        def step() -> float:
            optimizer.zero_grad(set_to_none=True)
            loss = criterion(module(x), y)
            loss.backward()
            optimizer.step()
            return float(loss.detach())

        return step

    sides: dict[str, Callable[[], float]] = {
        "neocog": lambda: native.step(images, labels, LEARNING_RATE).loss,
        "pytorch": torch_step(torch.contiguous_format),
        "pytorch channels_last": torch_step(torch.channels_last),
    }
    losses = {name: [step() for _ in range(5)] for name, step in sides.items()}
    for name, seen in losses.items():
        if not np.allclose(seen, losses["neocog"], rtol=1e-4):
            raise SystemExit(f"{name} computes something else: losses {seen}, neocog {losses['neocog']}")
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, step in sides.items():
            start = time.perf_counter()
            for _ in range(STEPS_A_ROUND):
                step()
            times[name].append((time.perf_counter() - start) / STEPS_A_ROUND * 1e3)
    medians = {name: statistics.median(values) for name, values in times.items()}
    best = min(value for name, value in medians.items() if name != "neocog")
    return {
        "threads": threads,
        "median_ms": medians,
        "quartiles_ms": {name: statistics.quantiles(values, n=4) for name, values in times.items()},
        "ratio": best / medians["neocog"],
        "torch": torch.__version__,
    }


def processor() -> str:
    """Name the processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def main() -> None:
    """Measure each number of threads in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        print(json.dumps(measure(arguments.threads[0], arguments.rounds)))
        return
    results = []
    for threads in arguments.threads:
        command = [sys.executable, __file__, "--inside", "--threads", str(threads), "--rounds", str(arguments.rounds)]
        environment = {**os.environ, **TUNED, "OMP_NUM_THREADS": str(threads)}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        results.append(json.loads(done.stdout.splitlines()[-1]))
    report = {
        "date": datetime.date.today().isoformat(),
        "machine": f"{processor()}, {os.cpu_count()} processors, {platform.platform()}",
        "network": "article, batch 64, float32, SGD with momentum",
        "results": results,
    }
    print(f"{report['network']}\n{report['machine']}, PyTorch {results[0]['torch']}, {report['date']}\n")
    print(f"{'threads':>7}  {'neocog':>9}  {'PyTorch':>9}  {'channels_last':>13}  {'ratio':>6}")
    for result in results:
        ms = result["median_ms"]
        print(
            f"{result['threads']:7d}  {ms['neocog']:6.2f} ms  {ms['pytorch']:6.2f} ms  "
            f"{ms['pytorch channels_last']:10.2f} ms  {result['ratio']:5.2f}x"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
