"""A model of the time of a training step on many machines: compute, waiting for the slowest, and an all-reduce.

A process sends and receives 2 (R - 1) / R of the gradient's bytes, in messages to each of the R - 1 others, twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

MICROSECOND = 1e-6  # so that what is fitted is of one magnitude


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
        latency: seconds of the messages to another process, and from it, that carry nothing.
        bandwidth: bytes a second that a process sends, and receives at the same time.
    """

    latency: float
    bandwidth: float

    def all_reduce(self, ranks: int, size: float) -> float:
        """Return the seconds of an all-reduce of so many bytes."""
        return self.latency * (ranks - 1) + passed(ranks, size) / self.bandwidth


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
    return NormalDist().inv_cdf((ranks - 0.375) / (ranks + 0.25))


def fit(exchanges: Sequence[Exchange]) -> Network:
    """Find latency and bandwidth that leave the least relative errors (squares); no time is below zero."""
    seconds = np.array([e.seconds for e in exchanges])
    rows = np.array([[e.ranks - 1.0, passed(e.ranks, e.size) * MICROSECOND] for e in exchanges]) / seconds[:, None]
    (latency, byte), *_ = np.linalg.lstsq(rows, np.ones(len(seconds)), rcond=None)
    if latency < 0.0:
        latency, byte = 0.0, 1.0 / rows[:, 1].mean()
    return Network(float(latency), 1.0 / float(byte * MICROSECOND))
