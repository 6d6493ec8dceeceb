"""What the processes of a training tell each other while PyTorch computes: sums, and what each of them has.

torch.distributed carries it where it has the processes: NCCL between GPUs, gloo between processors. Any other world
(`neocog.ranks.world`) gets arrays.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import torch
import torch.distributed

from neocog.ranks.gather import gathered
from neocog.ranks.world import World


class Exchange(Protocol):
    """What processes do together; each must call the same, in the same order."""

    def sum(self, values: Any) -> None:
        """Replace a tensor (n,) of every process by the sum of all."""

    def gathered(self, values: Any) -> Any:
        """Return (size, n), the tensors (n,) of all processes."""


class GroupExchange:
    """By torch.distributed.

    Arguments:
        group: of torch.distributed.
    """

    def __init__(self, group: Any) -> None:
        self.group = group
        self._size = torch.distributed.get_world_size(group)

    def sum(self, values: Any) -> None:
        torch.distributed.all_reduce(values, group=self.group)

    def gathered(self, values: Any) -> Any:
        found = values.new_empty(self._size * len(values))
        torch.distributed.all_gather_into_tensor(found, values, group=self.group)
        return found.view(self._size, -1)


class WorldExchange:
    """By a world, through arrays; a world of one has nothing to tell."""

    def __init__(self, world: World) -> None:
        self.world = world

    def sum(self, values: Any) -> None:
        if self.world.size > 1:
            array = np.array(values.detach().cpu().numpy())
            self.world.all_reduce(array)
            values.copy_(torch.from_numpy(array))

    def gathered(self, values: Any) -> Any:
        if self.world.size == 1:
            return values[None]
        return torch.from_numpy(gathered(self.world, values.detach().cpu().numpy())).to(values.device)


def group_of(world: World, device: str) -> Any:
    """Return a group of torch.distributed with the processes of a world, made for a device; None if it has them not.

    Every process must call it at the same point.
    """
    if world.size == 1 or not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return None
    if (torch.distributed.get_rank(), torch.distributed.get_world_size()) != (world.rank, world.size):
        return None
    backend = "nccl" if torch.device(device).type == "cuda" else "gloo"
    return torch.distributed.new_group(backend=backend)
