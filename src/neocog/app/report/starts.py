"""starts.json of a run folder: with which command, when and where the training began, and each time it went on."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from neocog.model.writing import write_atomically
from neocog.reading import read_text
from neocog.resources import available_threads
from neocog.system import processor_name
from neocog.train.runfolder import RunFolder

MOST_BYTES = 1_000_000
PACKAGES = ("neocog", "numpy", "llvmlite", "pillow")

Start = dict[str, Any]


def record_start(folder: RunFolder, words: Sequence[str], *, first: bool) -> None:
    """Add this process to the starts of a run.

    Arguments:
        folder: of the run.
        words: of the command line, behind `neocog`.
        first: whether the training begins here; what was started before then counts no more.
    """
    starts = [] if first else read_starts(folder)
    starts.append(
        {
            "command": shlex.join(["neocog", *words]),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            **environment(),
        }
    )
    write_atomically(folder.starts, f"{json.dumps(starts, indent=2)}\n".encode())


def read_starts(folder: RunFolder) -> list[Start]:
    """Return the starts of a run, the first one first; none where nobody noted them, as in runs of old versions."""
    try:
        starts = json.loads(read_text(folder.starts, MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(starts, list):
        return []
    return [start for start in starts if isinstance(start, dict) and isinstance(start.get("command"), str)]


def environment() -> dict[str, Any]:
    """Return what this process runs on: processor, threads, system, versions."""
    return {
        "processor": processor_name(),
        "threads": available_threads(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
