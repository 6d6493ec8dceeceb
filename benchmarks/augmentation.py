"""What augmentation costs: second epochs of a training on photographs with and without it, in alternating rounds.

    python -m benchmarks.augmentation FOLDER --augment flip,crop=8,jitter

An epoch is all that `fit` does in one: batches, steps, bookkeeping. Beside its seconds stands the share of it in which
the training waited for a batch.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np

import neocog as nc
from benchmarks.machine import describe
from neocog.data.augment.pipeline import Pipeline
from neocog.data.augment.words import parsed
from neocog.data.batches import Batches
from neocog.data.resize import ImageSize
from neocog.data.sources import open_data
from neocog.train.fit import fit
from neocog.train.source import Batch, DataSource

SIDE, BATCH = 96, 64


class Timed:
    """A source of batches that counts the seconds for which it is waited."""

    def __init__(self, source: DataSource) -> None:
        self.source, self.images = source, source.images
        self.waited: list[float] = []

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the batches of one epoch."""
        self.waited.append(0.0)
        with closing(self.source.batches(epoch)) as batches:  # type: ignore[type-var]  # a generator
            while True:
                began = time.perf_counter()
                batch = next(batches, None)
                self.waited[-1] += time.perf_counter() - began
                if batch is None:
                    return
                yield batch


def second_epoch(batches: Batches, augment: Pipeline, classes: int, threads: int) -> tuple[float, float]:
    """Train a new model for two epochs; return the seconds of the second, and those of waiting in it."""
    model = nc.Model(nc.zoo.photo(classes), (SIDE, SIDE, 3), threads=threads)
    source = DataSource(batches)
    timed = Timed(source.augmented(augment, classes) if augment else source)
    history = fit(model, timed, epochs=2, batch_size=BATCH, verbose=0)
    return history.epochs[1].seconds, timed.waited[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="folder of photographs")
    parser.add_argument(
        "--augment", default="flip,crop=8,jitter", help="what is compared with none (default: %(default)s)"
    )
    parser.add_argument("--images", type=int, default=1536, help="of an epoch (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default: %(default)s)")
    given = parser.parse_args(arguments)
    part = open_data(given.data).train
    size = ImageSize(SIDE, SIDE, 3)
    chosen = np.arange(min(given.images, len(part)))
    batches = Batches(part, BATCH, size, chosen, shuffle=True)
    sides = {"none": Pipeline(), given.augment: Pipeline(parsed(given.augment))}
    for augment in sides.values():
        part.verify(augment.read_size(size, part.native_size))
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for _ in range(given.rounds):
        for name, augment in sides.items():
            measured[name].append(second_epoch(batches, augment, len(part.class_names), given.threads))
    seconds = {name: statistics.median(took for took, _ in rounds) for name, rounds in measured.items()}
    ratios = [with_it[0] / without[0] for without, with_it in zip(*measured.values(), strict=True)]
    result = {
        "images": len(chosen),
        "seconds of a second epoch": {
            name: [round(took, 3) for took, _ in rounds] for name, rounds in measured.items()
        },
        "median": seconds,
        "ratio, median of rounds": statistics.median(ratios),
        "share of waiting": {name: max(waited / took for took, waited in rounds) for name, rounds in measured.items()},
    }
    print(json.dumps({**describe(), **result}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
