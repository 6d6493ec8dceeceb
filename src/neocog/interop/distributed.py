"""Processes that torchrun, SLURM or Kubeflow start, as a world: torch.distributed carries the bytes (gloo, on CPUs).

Whoever starts them says in the environment who is who: RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT (torchrun, Ray
Train, Kubeflow), or SLURM's own variables, under srun.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from numpy.typing import NDArray

from neocog.errors import SettingError
from neocog.interop.packages import require
from neocog.ranks.machine import on_one_machine
from neocog.ranks.processors import share_processors
from neocog.ranks.world import Alone, LostProcessError, World

TIMEOUT = 600.0  # seconds that a process may be late; one that ends is noticed at once
MPI_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE")  # how many processes mpirun started
FIRST_PORT, PORTS = 20000, 20000  # among which a SLURM job finds its own


def distributed_world(*, timeout: float = TIMEOUT) -> World:
    """Join the processes that were started together, and return them as `world` for `Model.fit`.

    Processors are shared out among the processes of a machine: each is bound to its part (`neocog.ranks.processors`).
    Processes that all run on one machine exchange gradients through memory (`neocog.ranks.machine`). A process that was
    started alone is a world of its own.

    Arguments:
        timeout: seconds that a process may be late. One that ends is noticed at once.

    Raises:
        SettingError: the environment does not say who takes part.
        NeocogError: PyTorch is missing: pip install 'neocog[distributed]'.

    >>> distributed_world().size  # not under torchrun
    1
    """
    told = launched(os.environ)
    if told is None or int(told["WORLD_SIZE"]) == 1:
        return Alone()
    require("torch", "distributed", "training by several processes")
    import torch.distributed as dist

    if not dist.is_initialized():
        os.environ.update(told)
        with lost_processes(f"process {told['RANK']} of {told['WORLD_SIZE']} cannot join the others"):
            rank, size, late = int(told["RANK"]), int(told["WORLD_SIZE"]), timedelta(seconds=timeout)
            dist.init_process_group("gloo", rank=rank, world_size=size, store=_store(told, late), timeout=late)
    world = TorchWorld()
    share_processors(world)
    return on_one_machine(world, timeout)


def _store(told: Mapping[str, str], timeout: timedelta) -> Any:
    """Return where processes find out each other's addresses.

    torchrun keeps one store for all its attempts, and PyTorch 2.13 does not tell their entries apart: who is quick to
    come back would connect to the address of a process that is gone.
    """
    from torch.distributed import PrefixStore, TCPStore

    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = TCPStore(
        told["MASTER_ADDR"],
        int(told["MASTER_PORT"]),
        int(told["WORLD_SIZE"]),
        is_master=told["RANK"] == "0" and not agent,
        timeout=timeout,
        wait_for_workers=False,
    )
    return PrefixStore(f"neocog/{restarts(os.environ)}", store)


def launched(environment: Mapping[str, str]) -> dict[str, str] | None:
    """Return RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT of this process; None if it was started alone.

    Raises:
        SettingError: some of them are missing, or are not the numbers that they must be.

    >>> sorted(launched({"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_STEP_NODELIST": "n[3-4]"}).values())
    ['1', '2', '20000', 'n3']
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    if "RANK" in environment and "WORLD_SIZE" in environment:
        missing = [name for name in names if not environment.get(name)]
        if missing and environment["WORLD_SIZE"] != "1":
            raise SettingError(
                f"RANK and WORLD_SIZE are set, but not {' and '.join(missing)}",
                hint="start the processes with torchrun, or unset RANK and WORLD_SIZE to train alone",
            )
        told = {name: environment.get(name, "") for name in names}
    elif _by_srun(environment):
        job = int(environment.get("SLURM_JOB_ID", "0"))
        told = {
            "RANK": environment["SLURM_PROCID"],
            "WORLD_SIZE": environment["SLURM_STEP_NUM_TASKS"],
            "MASTER_ADDR": environment.get("MASTER_ADDR") or first_host(environment["SLURM_STEP_NODELIST"]),
            "MASTER_PORT": environment.get("MASTER_PORT") or str(FIRST_PORT + job % PORTS),
        }
    else:
        return None
    if not (told["RANK"].isdigit() and told["WORLD_SIZE"].isdigit() and int(told["RANK"]) < int(told["WORLD_SIZE"])):
        raise SettingError(f"RANK must be below WORLD_SIZE, got {told['RANK']} and {told['WORLD_SIZE']}")
    if told["WORLD_SIZE"] != "1" and not (told["MASTER_PORT"].isdigit() and 0 < int(told["MASTER_PORT"]) < 1 << 16):
        raise SettingError(f"MASTER_PORT must be a port, from 1 to 65535, got {told['MASTER_PORT']}")
    return told


def _by_srun(environment: Mapping[str, str]) -> bool:
    """Whether SLURM's variables are those of this process: mpirun starts one process a node by srun, and that one all
    others, which see its variables.
    """
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "1")
    return tasks not in ("", "1") and all(environment.get(name, tasks) == tasks for name in MPI_SIZES)


def restarts(environment: Mapping[str, str]) -> int:
    """Return how often these processes were started again after one of them failed."""
    counts = (environment.get(name, "0") for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT"))
    return max(int(count) if count.isdigit() else 0 for count in counts)


def first_host(nodes: str) -> str:
    """Return the first host of a list as SLURM writes it.

    >>> first_host("gpu[07-09,12],login"), first_host("a,b")
    ('gpu07', 'a')
    """
    found = re.match(r"([^,\[]+)(?:\[([^\],-]+))?", nodes)
    if found is None:
        raise SettingError(f"no host can be read from {nodes!r}", hint="set MASTER_ADDR to the first process's host")
    return found[1] + (found[2] or "")


class TorchWorld:
    """The processes of torch.distributed's default group, or of another one, as a world.

    Arguments:
        group: of torch.distributed.
    """

    def __init__(self, group: Any = None) -> None:
        import torch.distributed as dist

        self._group, self._dist = group, dist
        self.rank: int = dist.get_rank(group)
        self.size: int = dist.get_world_size(group)

    def all_reduce(self, values: NDArray[Any]) -> None:
        """Replace the values of every process by the sums of all."""
        with self._told():
            self._dist.all_reduce(_tensor(values), group=self._group)

    def broadcast(self, values: NDArray[Any], root: int) -> None:
        """Replace the values of every process by those of one."""
        with self._told():
            self._dist.broadcast(_tensor(values), group=self._group, group_src=root)

    def barrier(self) -> None:
        """Return when all have come."""
        with self._told():
            self._dist.barrier(self._group)

    def all_gather(self, values: NDArray[Any], everyone: NDArray[Any]) -> None:
        """Fill `everyone` with the values of all."""
        with self._told():
            self._dist.all_gather_into_tensor(_tensor(everyone), _tensor(values), group=self._group)

    def all_to_all(self, parts: NDArray[Any], received: NDArray[Any]) -> None:
        """Send row r of `parts` to process r, and fill `received` with what comes from each."""
        with self._told():
            self._dist.all_to_all_single(_tensor(received), _tensor(parts), group=self._group)

    def _told(self) -> contextlib.AbstractContextManager[None]:
        return lost_processes(f"process {self.rank} of {self.size} no longer hears from the others")


def _tensor(values: NDArray[Any]) -> Any:
    import torch

    assert values.flags.c_contiguous, "what comes must not end in a copy"
    return torch.from_numpy(values.reshape(-1))


@contextlib.contextmanager
def lost_processes(what: str) -> Iterator[None]:
    """Tell what a library says of processes that are gone as an error of neocog's."""
    try:
        yield
    except RuntimeError as error:
        cause = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LostProcessError(what, details=(f"cause: {cause[:200]}",)) from None
