"""The cost of an image in training as the data set grows: it should not grow with it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

import neocog as nc
from benchmarks.figures import OURS, Row, summarise, thread_count
from benchmarks.options import Options
from benchmarks.process import run, say

SIZES, QUICK_SIZES = (1_000, 4_000, 16_000, 60_000), (1_000, 4_000)
ROUNDS, QUICK_ROUNDS = 5, 2


def measure(options: Options) -> Iterator[Row]:
    """Measure each number of threads: one epoch of the article's network, through the public API."""
    sizes, rounds = (QUICK_SIZES, QUICK_ROUNDS) if options.quick else (SIZES, ROUNDS)
    for threads in options.threads:
        say(f"  scaling: {thread_count(threads)}")
        got = run("scaling", {"threads": threads, "sizes": sizes, "rounds": min(rounds, options.rounds)}, threads)
        for size in sizes:
            figures = {OURS: summarise(got[str(size)])}
            yield Row("training, for each image", f"article, {size:,} images", threads, "µs", figures)


def inside(job: Mapping[str, Any]) -> dict[str, list[float]]:
    """Measure, in the child: size → microseconds of one image, in each round."""
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (max(job["sizes"]), 28, 28, 1), np.uint8)
    labels = random.integers(0, 10, len(images))

    def epoch(size: int) -> float:
        model = nc.Model(nc.zoo.article(), (28, 28, 1), threads=job["threads"])
        start = time.perf_counter()
        model.fit(images[:size], labels[:size], epochs=1, verbose=0)
        return (time.perf_counter() - start) / size * 1e6

    epoch(min(job["sizes"]))  # compiles, unless the object lies in the cache
    rounds = range(job["rounds"])
    times: dict[str, list[float]] = {str(size): [] for size in job["sizes"]}
    for _ in rounds:
        for size in job["sizes"]:
            times[str(size)].append(epoch(size))
    return times
