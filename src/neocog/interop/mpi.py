"""Processes that mpirun or srun start, as a world: mpi4py carries the bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from neocog.interop.distributed import TIMEOUT, lost_processes
from neocog.interop.packages import require
from neocog.ranks.machine import on_one_machine
from neocog.ranks.processors import share_processors
from neocog.ranks.world import Alone, World

SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")
"""Variables by which Open MPI, MPICH and Intel MPI say how many processes they started."""


def started_by_mpi(environment: Mapping[str, str]) -> bool:
    """Whether this process is one of several that an MPI launcher started."""
    return any(environment.get(name, "1") not in ("", "1") for name in SIZES)


def mpi_world(communicator: Any = None) -> World:
    """Return the processes of an MPI communicator as `world` for `Model.fit`.

    Processors are shared out as `neocog.interop.distributed.distributed_world` does it.

    Arguments:
        communicator: of mpi4py; default: COMM_WORLD.

    Raises:
        NeocogError: mpi4py is missing: pip install 'neocog[mpi]'.
    """
    if communicator is None:
        if not started_by_mpi(os.environ):
            return Alone()
        communicator = require("mpi4py.MPI", "mpi", "training by processes of MPI").COMM_WORLD
    world = MpiWorld(communicator)
    share_processors(world)
    return on_one_machine(world, TIMEOUT)


class MpiWorld:
    """The processes of a communicator of mpi4py."""

    def __init__(self, communicator: Any) -> None:
        self._communicator = communicator
        self.rank: int = communicator.Get_rank()
        self.size: int = communicator.Get_size()

    def all_reduce(self, values: NDArray[Any]) -> None:
        """Replace the values of every process by the sums of all."""
        from mpi4py import MPI

        with self._told():
            self._communicator.Allreduce(MPI.IN_PLACE, values)

    def broadcast(self, values: NDArray[Any], root: int) -> None:
        """Replace the values of every process by those of one."""
        with self._told():
            self._communicator.Bcast(values, root)

    def barrier(self) -> None:
        """Return when all have come."""
        with self._told():
            self._communicator.Barrier()

    def all_gather(self, values: NDArray[Any], everyone: NDArray[Any]) -> None:
        """Fill `everyone` with the values of all."""
        with self._told():
            self._communicator.Allgather(values, everyone)

    def all_to_all(self, parts: NDArray[Any], received: NDArray[Any]) -> None:
        """Send row r of `parts` to process r, and fill `received` with what comes from each."""
        with self._told():
            self._communicator.Alltoall(parts, received)

    def _told(self) -> Any:
        return lost_processes(f"process {self.rank} of {self.size} no longer hears from the others")
