"""What all processes of a world know, brought to each of them: bytes as they are, nothing added up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from neocog.ranks.world import GatheringWorld, World

Kind = TypeVar("Kind", bound=np.generic)


def gathered(world: World, values: NDArray[Kind]) -> NDArray[Kind]:
    """Return (size, n) the values (n,) of every process; all must have as many.

    >>> from neocog.ranks.world import Alone
    >>> gathered(Alone(), np.arange(3)).tolist()
    [[0, 1, 2]]
    """
    own = np.ascontiguousarray(values)
    everyone = np.stack([own] * world.size)
    everyone[world.rank] = own
    if world.size == 1 or not own.nbytes:
        return everyone
    if hasattr(world, "all_gather"):
        rows = everyone.view(np.uint8).reshape(world.size, -1)
        cast(GatheringWorld, world).all_gather(own.view(np.uint8), rows)
    else:
        for root in range(world.size):
            world.broadcast(everyone[root].view(np.uint8), root)
    return everyone


def gathered_lists(world: World, values: NDArray[Kind]) -> NDArray[Kind]:
    """Return the values of all processes, one behind the other in their order; each may have as many as it likes."""
    counts = gathered(world, np.array([len(values)]))[:, 0]
    padded = np.zeros(int(counts.max()), values.dtype)
    padded[: len(values)] = values
    rows = gathered(world, padded)
    return np.concatenate([row[:count] for row, count in zip(rows, counts.tolist(), strict=True)])


def from_first(world: World, value: Callable[[], str]) -> str:
    """Return a text that the first process alone finds out."""
    own = np.frombuffer(value().encode() if world.rank == 0 else b"", np.uint8)
    return bytes(gathered_lists(world, own)).decode()


def swapped(world: World, parts: NDArray[Any]) -> NDArray[Any]:
    """Return (size, n) what every process has for this one, from the rows (size, n) that it has for each."""
    if world.size == 1:
        return parts
    if hasattr(world, "all_to_all"):
        received = np.empty_like(parts)
        cast(GatheringWorld, world).all_to_all(parts, received)
        return received
    return gathered(world, parts.reshape(-1)).reshape(world.size, *parts.shape)[:, world.rank]
