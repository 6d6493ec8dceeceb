"""A model of the time of a training step on many machines: compute, waiting for the slowest, and an all-reduce.

A process sends and receives 2 (R - 1) / R of the gradient's bytes, in messages to each of the R - 1 others, twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Exchange:
    """One all-reduce that was measured: processes, bytes of the gradient, seconds."""

    ranks: int
    size: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Network:
    """What connects processes.

    Arguments:
        latency: seconds that an all-reduce of nothing takes between two processes.
        message: seconds more for each further process.
        bandwidth: bytes a second that a process sends, and receives at the same time.
    """

    latency: float
    message: float
    bandwidth: float

    def told(self) -> str:
        """Return it in words."""
        return (
            f"{1e3 * self.latency:.2f} ms, {1e3 * self.message:.2f} ms for each further process, "
            f"{self.bandwidth / 1e6:.0f} MB/s each way"
        )

    def all_reduce(self, ranks: int, size: float) -> float:
        """Return the seconds of an all-reduce of so many bytes."""
        if ranks == 1:
            return 0.0
        return self.latency + self.message * (ranks - 2) + passed(ranks, size) / self.bandwidth


@dataclass(frozen=True, slots=True)
class Step:
    """A process's part of a training step.

    Arguments:
        compute: seconds, on average.
        spread: standard deviation of it, seconds.
        size: bytes of the gradient.
    """

    compute: float
    spread: float
    size: float

    def seconds(self, ranks: int, network: Network, accumulated: int = 1, compressed: float = 1.0) -> float:
        """Return the seconds of a step.

        Arguments:
            ranks: processes, each with this part.
            network: between them.
            accumulated: parts that each process computes before gradients are exchanged.
            compressed: bytes that are sent for each byte of the gradient.
        """
        waiting = self.spread * math.sqrt(accumulated) * slowest(ranks)
        return accumulated * self.compute + waiting + network.all_reduce(ranks, compressed * self.size)

    def efficiency(self, ranks: int, network: Network, accumulated: int = 1, compressed: float = 1.0) -> float:
        """Return the part of the time that is spent computing."""
        return accumulated * self.compute / self.seconds(ranks, network, accumulated, compressed)


def passed(ranks: int, size: float) -> float:
    """Return the bytes that a process sends in an all-reduce."""
    return 2 * (ranks - 1) / ranks * size


def slowest(ranks: int) -> float:
    """Return how many standard deviations the slowest of several lies above the mean (Blom 1958, for a normal
    distribution).

    >>> [round(slowest(ranks), 2) for ranks in (1, 2, 4, 64)]
    [0.0, 0.59, 1.05, 2.37]
    """
    from statistics import NormalDist

    return NormalDist().inv_cdf((ranks - 0.375) / (ranks + 0.25))


def fit(exchanges: Sequence[Exchange]) -> Network:
    """Find latency and bandwidth that leave the least relative errors (squares); no time is below zero."""
    rows = np.array([[1.0, e.ranks - 2.0, passed(e.ranks, e.size)] for e in exchanges])
    seconds = np.array([e.seconds for e in exchanges])
    scale = rows.max(axis=0).clip(1e-300)
    wanted = (rows / scale) / seconds[:, None]
    used = [column for column in range(3) if rows[:, column].any()]
    while True:  # what comes out below zero is left out
        found, *_ = np.linalg.lstsq(wanted[:, used], np.ones(len(seconds)), rcond=None)
        if (found >= 0).all():
            break
        del used[int(found.argmin())]
    values = np.zeros(3)
    values[used] = found / scale[used]
    return Network(float(values[0]), float(values[1]), 1.0 / max(float(values[2]), 1e-300))
