"""`neocog train` started several times, by torchrun, srun or mpirun: one training, which all of them share."""

from __future__ import annotations

import contextlib
import os
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from neocog.app.cli.flags import Flags
from neocog.app.report.starts import read_starts
from neocog.interop.distributed import distributed_world, launched, restarts
from neocog.interop.mpi import mpi_world, started_by_mpi
from neocog.ranks.gather import from_first, gathered_lists
from neocog.ranks.world import World
from neocog.reading import read_file
from neocog.train.runfolder import RunFolder

LAST_FILE = "last.safetensors"
COPIED = (LAST_FILE, "model.safetensors", "split.csv", "config.json")
"""Files of a run folder that a training which goes on reads."""

MOST_BYTES = 1 << 36


def joined() -> World | None:
    """Return the processes that were started together; None where there is this one alone.

    torchrun with one process is a world of one: it takes the same steps as several.
    """
    if launched(os.environ) is not None:
        return distributed_world()
    return mpi_world() if started_by_mpi(os.environ) else None


def is_first(world: World | None) -> bool:
    """Whether this process tells, writes and measures."""
    return world is None or world.rank == 0


def flags_of(world: World | None, flags: Flags) -> Flags:
    """Return the flags of this process: all but the first are silent, and log nothing."""
    return flags if is_first(world) else replace(flags, quiet=True, log=(), output=None, overwrite=False)


def left_by_restart(world: World | None, output: Path | None, words: Sequence[str]) -> Path | None:
    """Return the run folder to go on with, where these processes were started again after one of them failed.

    Arguments:
        world: the processes.
        output: the folder that the command names.
        words: of the command line, by which its folder is found where it names none.
    """
    if world is None:
        return None
    found = from_first(world, lambda: str(_left(output, words) or ""))
    return Path(found) if found else None


def _left(output: Path | None, words: Sequence[str]) -> Path | None:
    if not restarts(os.environ):
        return None
    if output is not None:
        return output if (output / LAST_FILE).is_file() else None
    command = shlex.join(["neocog", *words])
    folders = sorted(Path("runs").glob(f"*/{LAST_FILE}"), key=lambda path: path.stat().st_mtime, reverse=True)
    return next((path.parent for path in folders if _began_with(path.parent, command)), None)


def _began_with(folder: Path, command: str) -> bool:
    starts = read_starts(RunFolder(folder))
    return bool(starts) and starts[0]["command"] == command


def folder_of_its_own(held: contextlib.ExitStack) -> RunFolder:
    """Return a run folder for a process other than the first, which nobody sees, as long as `held` is open."""
    return RunFolder(held.enter_context(tempfile.TemporaryDirectory(prefix="neocog-")))


def copy_folder(world: World, folder: RunFolder) -> None:
    """Bring the files of the first process's run folder to those of the others, which may be on other machines."""
    for name in COPIED:
        path = folder.path / name
        content = read_file(path, MOST_BYTES) if world.rank == 0 and path.is_file() else b""
        received = bytes(gathered_lists(world, np.frombuffer(content, np.uint8)))
        if world.rank and received:
            path.write_bytes(received)
