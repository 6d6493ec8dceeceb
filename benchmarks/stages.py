"""`python -m benchmarks.stages NETWORK…`: where the time of networks goes, by kinds of stages, in both precisions.

One thread, every stage over the whole batch, medians of a few runs. `neocog bench --profile MODEL` names every stage.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from statistics import median

import numpy as np

from benchmarks.machine import describe
from benchmarks.networks import NETWORKS, Network
from neocog.engines.base import StepSettings
from neocog.engines.native import NativeEngine
from neocog.engines.precision import Settled
from neocog.jit.executable import Executable
from neocog.nn.graph import trace
from neocog.nn.losses import CrossEntropy
from neocog.nn.optimizers import SGD
from neocog.nn.parameters import initial_parameters
from neocog.plan.ops.op import Op

WEIGHTS = "weight gradients"
KINDS: Mapping[str, str] = {
    "LoadImages": "images",
    "Stack": "images",
    "PackTiles": "weights laid out",
    "Transpose": "weights laid out",
    "TransposeGroups": "weights laid out",
    "WinogradWeights": "weights laid out",
    "TurnTiles": WEIGHTS,
    "PairTiles": WEIGHTS,
    "TileGradient": WEIGHTS,
    "WinogradBackward": "both gradients by Winograd's algorithm",
    "WinogradReducePartials": WEIGHTS,
    "ReducePartials": WEIGHTS,
    "Pool": "pooling",
    "PoolBackward": "pooling",
    "Map": "formulas",
    "Update": "update",
    "Moments": "statistics",
    "BatchStatistics": "statistics",
    "NormGradient": "statistics",
    "GroupStatistics": "statistics",
    "GroupGradient": "statistics",
    "PixelStatistics": "statistics",
    "PixelGradient": "statistics",
}
"""Ops → what a row is called; what is not here is told by its title."""


def kind_of(stage: Op) -> str:
    """Return what kind of work a stage is."""
    known = KINDS.get(type(stage).__name__)
    if known is not None:
        return known
    for ending, kind in (
        ("weight gradient", WEIGHTS),
        ("input gradient", "input gradients"),
        ("forward", "products, forward"),
    ):
        if stage.multiply_adds and stage.name.endswith(ending):
            return kind
    return "others"


def measure(executable: Executable, repeats: int) -> dict[str, tuple[float, float]]:
    """Return, by kind, milliseconds and billions of floating-point operations."""
    times = [executable.time_stages() for _ in range(repeats)]
    found: defaultdict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    stages = executable.program.every_stage_with_times()
    for (stage, often), seconds in zip(stages, (median(stage) for stage in zip(*times, strict=True)), strict=True):
        before, work = found[kind_of(stage)]
        found[kind_of(stage)] = before + 1e3 * seconds, work + 2 * often * stage.multiply_adds / 1e9
    return dict(found)


def executables(network: Network, precision: Settled) -> Iterator[tuple[str, Executable]]:
    """Yield the programs of a network, each run once. They read its images again: take each while this waits."""
    graph = trace(network.net, network.input_shape)
    parameters, random = initial_parameters(graph), np.random.default_rng(0)
    images = random.integers(0, 256, (network.batch, *network.input_shape), np.uint8)
    engine = NativeEngine(precision=precision)
    predictor = engine.predictor(graph, parameters, threads=1)
    predictor.logits(images)
    yield "prediction", predictor.executable(network.batch)
    if network.trained:
        labels = random.integers(0, graph.classes, network.batch).astype(np.int32)
        settings = StepSettings(CrossEntropy(), SGD(momentum=0.9), network.batch)
        program = engine.train_program(graph, parameters, settings, threads=1)
        program.step(images, labels, 0.0)
        yield "training", program.executable


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", choices=tuple(NETWORKS), metavar="NETWORK")
    parser.add_argument("--precisions", nargs="+", choices=("float32", "bfloat16"), default=("float32", "bfloat16"))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args(arguments)
    print(describe())
    for name in given.networks:
        network = NETWORKS[name]
        for precision in given.precisions:
            for use, executable in executables(network, precision):
                found = measure(executable, given.repeats)
                total = sum(milliseconds for milliseconds, _ in found.values())
                case = network.case(executable.program.batch)  # programs that predict have sizes of their own
                print(f"\n{case}: {use} in {precision}, one thread: {total:.2f} ms", flush=True)
                for kind, (milliseconds, work) in sorted(found.items(), key=lambda row: -row[1][0]):
                    rate = f"  {1e3 * work / milliseconds:6.1f} GFLOP/s" if work else ""
                    print(f"  {kind:40s} {milliseconds:9.3f} ms  {milliseconds / total:4.0%}{rate}", flush=True)


if __name__ == "__main__":
    main()
