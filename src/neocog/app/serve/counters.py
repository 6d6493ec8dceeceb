"""What all processes of a server count together: a table of numbers in memory that they share.

Each process writes a row of its own and nobody else's, so nothing needs a lock; whoever is asked adds the rows up. The
process that hands out connections finds the least busy one by the same numbers.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from collections.abc import Sequence

STATUSES = (200, 307, 400, 401, 403, 404, 405, 408, 413, 415, 429, 431, 500, 503)
"""Replies that are counted one by one; others count as 500."""

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds at which the buckets of a histogram end."""

OF_A_PROCESS = ("opened", "closed", "waiting_images", "waiting_bytes", "cpu_seconds", "resident_bytes", "started")
OF_A_MODEL = ("images", "unreadable", "batches", "seconds", "count", "reloads", "failed_reloads")


class Counters:
    """A row of numbers for each process.

    Arguments:
        processes: how many rows there are.
        models: names of the models, each with numbers of its own.
    """

    def __init__(self, processes: int, models: Sequence[str]) -> None:
        self.processes, self.models = processes, tuple(models)
        names = [*OF_A_PROCESS, *(f"status/{status}" for status in STATUSES)]
        for model in models:
            names += [f"{model}/{name}" for name in OF_A_MODEL]
            names += [f"{model}/bucket/{place}" for place in range(len(BOUNDS) + 1)]
        self._places = {name: place for place, name in enumerate(names)}
        self._width = len(names)
        # anonymous memory is shared with processes that are forked later
        self._memory: memoryview[float] = memoryview(mmap.mmap(-1, 8 * self._width * processes)).cast("d")

    def row(self, process: int) -> Tally:
        """Return the numbers that a process writes."""
        begin = process * self._width
        return Tally(self._memory[begin : begin + self._width], self._places)

    def total(self, name: str) -> float:
        """Return a number, added up over all processes."""
        return sum(self._memory[self._places[name] :: self._width])

    def each(self, name: str) -> list[float]:
        """Return a number of each process."""
        return list(self._memory[self._places[name] :: self._width])


class Tally:
    """The numbers of one process."""

    def __init__(self, values: memoryview[float], places: dict[str, int]) -> None:
        self._values, self._places = values, places

    def add(self, name: str, value: float = 1.0) -> None:
        """Add to a number."""
        self._values[self._places[name]] += value

    def put(self, name: str, value: float) -> None:
        """Set a number."""
        self._values[self._places[name]] = value

    def get(self, name: str) -> float:
        """Return a number."""
        value: float = self._values[self._places[name]]
        return value

    def answered(self, status: int) -> None:
        """Count an answer."""
        self._values[self._places.get(f"status/{status}", self._places["status/500"])] += 1

    def took(self, model: str, seconds: float) -> None:
        """Count the seconds that an answer of a model took."""
        values, first = self._values, self._places[f"{model}/bucket/0"]
        values[first + bisect_left(BOUNDS, seconds)] += 1
        values[self._places[f"{model}/seconds"]] += seconds
        values[self._places[f"{model}/count"]] += 1
