"""What neocog needs of the processes that train together: a protocol, and one process as a world of its own.

neocog has no network code: `neocog.interop.distributed` and `neocog.interop.mpi` make worlds of torch.distributed and
of mpi4py, and any object with the same methods will do.
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neocog.errors import NeocogError, SettingError


class LostProcessError(NeocogError):
    """Another process of the training ended, or is not heard of any more."""


@runtime_checkable
class World(Protocol):
    """Processes that call the same methods in the same order, each with arrays of the same size.

    Attributes:
        rank: the number of this process, from 0.
        size: how many there are.
    """

    rank: int
    size: int

    def all_reduce(self, values: NDArray[Any]) -> None:
        """Replace the values (n,), float32, of every process by the sums of all."""

    def broadcast(self, values: NDArray[Any], root: int) -> None:
        """Replace the values (n,), bytes (uint8), of every process by those of one."""

    def barrier(self) -> None:
        """Return when all have come."""


class GatheringWorld(World, Protocol):
    """A world that can do more at once; others do the same with broadcasts, which takes longer."""

    def all_gather(self, values: NDArray[Any], everyone: NDArray[Any]) -> None:
        """Fill `everyone` (size, n), bytes, with the values (n,) of all."""

    def all_to_all(self, parts: NDArray[Any], received: NDArray[Any]) -> None:
        """Send row r of `parts` (size, n), float32, to process r, and fill `received` with what comes from each."""


@runtime_checkable
class SharingWorld(World, Protocol):
    """A world whose processes have memory in common: what they wrote there before a barrier can be read behind it."""

    def common(self, count: int) -> NDArray[np.float32] | None:
        """Return (count,) zeros that all processes see, from a cache line on; None in all where that cannot be."""


class Alone:
    """One process: a world of its own.

    >>> Alone().size
    1
    """

    rank, size = 0, 1

    def all_reduce(self, values: NDArray[Any]) -> None:
        """Leave the values as they are."""

    def broadcast(self, values: NDArray[Any], root: int) -> None:
        """Leave the values as they are."""

    def barrier(self) -> None:
        """Return."""


def check_world(world: object) -> World:
    """Return a world, or say what it lacks.

    Raises:
        SettingError: it is none.
    """
    lacking = [name for name in ("rank", "size", "all_reduce", "broadcast", "barrier") if not hasattr(world, name)]
    if lacking or not isinstance(world, World):
        raise SettingError(
            f"a world needs rank, size, all_reduce, broadcast and barrier; {type(world).__name__} lacks "
            f"{', '.join(lacking)}",
            hint="make one with neocog.distributed_world() under torchrun",
        )
    if not 0 <= world.rank < world.size:
        raise SettingError(f"a world's rank must be from 0 to {world.size - 1}, got {world.rank}")
    return world
