"""Processors shared out among the processes of a training that run on the same ones."""

from __future__ import annotations

import os
import platform

import numpy as np

from neocog.ranks.gather import gathered
from neocog.ranks.world import World
from neocog.reading import read_text
from neocog.resources import available_threads

BOOT_ID = "/proc/sys/kernel/random/boot_id"
_KEY_BYTES = 256


def share_processors(world: World) -> int:
    """Keep this process to its part of the processors that it may use, and return how many threads it may keep busy.

    Processes of one machine that may use the same processors share them: each is bound to some, and to a part of what
    the quotas of control groups leave. Where a launcher has bound processes apart already, nothing changes. Where there
    are more processes than processors, each has one thread, anywhere. NEOCOG_THREADS in the environment goes before.
    """
    if not hasattr(os, "sched_getaffinity"):
        return available_threads()
    processors = sorted(os.sched_getaffinity(0))
    own = np.zeros(_KEY_BYTES, np.uint8)
    key = f"{_machine()} {processors}".encode()
    own[: min(len(key), _KEY_BYTES)] = np.frombuffer(key[-_KEY_BYTES:], np.uint8)
    rows = gathered(world, own)
    beside = np.flatnonzero((rows == rows[world.rank]).all(axis=1)).tolist()
    if len(beside) > 1:
        threads = max(1, available_threads() // len(beside))
        place = beside.index(world.rank)
        first, behind = (len(processors) * number // len(beside) for number in (place, place + 1))
        if behind > first and len(processors) >= len(beside):
            os.sched_setaffinity(0, processors[first:behind])
        if available_threads() > threads:
            os.environ.setdefault("NEOCOG_THREADS", str(threads))
    return available_threads()


def _machine() -> str:
    try:
        return read_text(BOOT_ID, 100).strip()
    except (OSError, ValueError):
        return platform.node()
