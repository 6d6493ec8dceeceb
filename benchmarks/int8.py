"""Prediction in int8 beside float32, both by the native engine: `python -m benchmarks.int8 [NETWORK...]`.

Rounds alternate; figures are medians on one thread. Scales are the same everywhere, and weights those of the beginning:
time hangs on neither. How near answers are is for tests and `neocog quantise` to say.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.machine import describe
from neocog.engines.native import NativeEngine
from neocog.nn import zoo
from neocog.nn.blocks import Block
from neocog.nn.graph import IMAGE, trace
from neocog.nn.layer import Layer
from neocog.nn.parameters import initial_parameters
from neocog.nn.rewrite import fold_norms
from neocog.nn.scales import Scales, rounded_values

SECONDS = 2.0  # of rounds
STRETCH = 0.002  # seconds that a side is timed for in each round, at least
NETWORKS: dict[str, tuple[Callable[[], Block | Layer], tuple[int, int, int], tuple[int, ...]]] = {
    "article": (zoo.article, (28, 28, 1), (1, 64)),
    "photo": (zoo.photo, (32, 32, 3), (1, 64)),
    "resnet20": (zoo.resnet20, (32, 32, 3), (1, 64)),
    "resnet18": (zoo.resnet18, (96, 96, 3), (1, 64)),
    "mobilenet_v1": (zoo.mobilenet_v1, (224, 224, 3), (1,)),
    "mobilenet_v2": (zoo.mobilenet_v2, (224, 224, 3), (1,)),
}


def measure(name: str, count: int) -> tuple[float, float]:
    """Return the median seconds of one call for so many images, in float32 and in int8."""
    make, shape, _ = NETWORKS[name]
    graph = trace(make(), shape)
    parameters, folded, engine = initial_parameters(graph), fold_norms(graph).graph, NativeEngine()
    named = {folded.nodes[value].name: 0.02 for value in rounded_values(folded) if value != IMAGE}
    images = np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)
    sides = [
        engine.predictor(graph, parameters, 1),
        engine.int8_predictor(graph, parameters, Scales(1 / 255, named), 1),
    ]
    taken: list[list[float]] = [[], []]
    sides[1].logits(images)
    sides[0].logits(images)
    start = time.perf_counter()
    sides[0].logits(images)
    calls = max(1, round(STRETCH / (time.perf_counter() - start)))
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        for side, found in zip(sides, taken, strict=True):
            start = time.perf_counter()
            for _ in range(calls):
                side.logits(images)
            found.append((time.perf_counter() - start) / calls)
    return float(np.median(taken[0])), float(np.median(taken[1]))


def main() -> int:
    """Run the command."""
    wanted = sys.argv[1:] or list(NETWORKS)
    unknown = [name for name in wanted if name not in NETWORKS]
    if unknown:
        print(f"there is no network {unknown[0]!r}; there are {', '.join(NETWORKS)}", file=sys.stderr)
        return 2
    print("\n".join(f"{name}: {fact}" for name, fact in describe().items()))
    print("\n| network | images | float32 | int8 | ratio |\n|---|---|---|---|---|")
    for name in wanted:
        for count in NETWORKS[name][2]:
            exact, rounded = measure(name, count)
            times = f"{exact * 1e3:.3f} ms | {rounded * 1e3:.3f} ms | {exact / rounded:.2f}"
            print(f"| {name} | {count} | {times} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
