"""How much time a training has, and how much it still needs."""

from __future__ import annotations

import time

from neocog.train.history import EpochResult, History

RECENT = 5  # epochs whose mean time stands for those to come


class Clock:
    """The time limit of a training: what is left when the last measurement is over is what steps may take.

    Arguments:
        limit: seconds in all; None: no limit.
        history: the epochs of before a resume, whose seconds are spent.
    """

    def __init__(self, limit: float | None, history: History) -> None:
        self._limit = limit
        self._began = time.perf_counter() - sum(epoch.seconds for epoch in history.epochs)
        self._measuring = 0.0

    def measured(self, seconds: float) -> None:
        """Hear how long the measurement at the end of an epoch took: the last one needs as much."""
        self._measuring = seconds

    def share(self) -> float:
        """Return how much of the time for steps is over; 0 without a limit."""
        if self._limit is None:
            return 0.0
        return (time.perf_counter() - self._began) / max(self._limit - self._measuring, 1e-9)


def seconds_left(
    history: History, epochs: int | None, limit: float | None, images: int, done: int, spent: float
) -> float | None:
    """Return how many seconds a training will still take; None before anything is known.

    Arguments:
        history: the epochs that are over.
        epochs: of the whole training; None: as many as the limit lets it.
        limit: seconds of the whole training; None: no limit.
        images: of an epoch.
        done: images of the epoch under way.
        spent: seconds since it began.
    """
    over = sum(epoch.seconds for epoch in history.epochs) + spent
    left = None if limit is None else max(0.0, limit - over)
    if epochs is None:
        return left
    pace = _pace(history.epochs)
    if pace is None and done:
        pace = spent * images / done
    if pace is None:
        return left
    expected = pace * (epochs - len(history) - done / images)
    return max(0.0, expected) if left is None else min(left, max(0.0, expected))


def _pace(epochs: list[EpochResult]) -> float | None:
    """Return the mean time of the last epochs, without the first where there are others: it compiles and decodes."""
    recent = epochs[-RECENT:] if len(epochs) > RECENT else epochs[1:] or epochs
    return sum(epoch.seconds for epoch in recent) / len(recent) if recent else None
