"""A world whose processes are threads: what they exchange goes through a list."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from neocog.jit.executable import aligned_zeros

Result = TypeVar("Result")


class ThreadWorld:
    """One of several threads that call the same methods in the same order, with what a world must have."""

    def __init__(self, rank: int, meeting: threading.Barrier, table: list[Any]) -> None:
        self.rank, self.size = rank, len(table)
        self._meeting, self._table = meeting, table

    def _everyone(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        self._table[self.rank] = values.copy()
        self._meeting.wait(600)
        found = list(self._table)
        self._meeting.wait(600)
        return found

    def all_reduce(self, values: NDArray[Any]) -> None:
        """Add from the last to the first, which no tree does."""
        values[...] = sum(reversed(self._everyone(values)), np.zeros_like(values))

    def broadcast(self, values: NDArray[Any], root: int) -> None:
        values[...] = self._everyone(values)[root]

    def barrier(self) -> None:
        self._meeting.wait(600)


class GatheringThreadWorld(ThreadWorld):
    """One that can do more at once, as torch.distributed and MPI can."""

    def all_gather(self, values: NDArray[Any], everyone: NDArray[Any]) -> None:
        everyone[...] = self._everyone(values)

    def all_to_all(self, parts: NDArray[Any], received: NDArray[Any]) -> None:
        received[...] = [rows[self.rank] for rows in self._everyone(parts)]


class SharingThreadWorld(ThreadWorld):
    """One that has memory in common."""

    def common(self, count: int) -> NDArray[Any]:
        return self._everyone_is(aligned_zeros(4 * count).view(np.float32))

    def _everyone_is(self, values: NDArray[Any]) -> NDArray[Any]:
        self._table[self.rank] = values
        self._meeting.wait(600)
        found: NDArray[Any] = self._table[0]
        self._meeting.wait(600)
        return found


def in_threads(
    size: int, work: Callable[[Any], Result], kind: type[ThreadWorld] = GatheringThreadWorld
) -> list[Result]:
    """Return what `work` gives for each process of a world; the first error of any is raised."""
    meeting, table = threading.Barrier(size), [None] * size
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(kind(rank, meeting, table))
        except BaseException as error:
            errors.append(error)
            meeting.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
