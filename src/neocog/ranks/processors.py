"""Processors shared out among the processes of a training that run on the same ones."""

from __future__ import annotations

import contextlib
import os

import numpy as np

from neocog.ranks.gather import gathered
from neocog.ranks.world import World
from neocog.resources import available_threads
from neocog.system import machine_id, processors, run_on

_KEY_BYTES = 256


def share_processors(world: World) -> int:
    """Keep this process to its part of the processors that it may use, and return how many threads it may keep busy.

    Processes of one machine that may use the same processors share them: each is bound to some, and to a part of what
    the quotas of control groups leave. Where a launcher has bound processes apart already, nothing changes. Where there
    are more processes than processors, each has one thread, anywhere. NEOCOG_THREADS in the environment goes before.
    """
    numbers = processors()
    if numbers is None:
        return available_threads()
    own = np.zeros(_KEY_BYTES, np.uint8)
    key = f"{machine_id()} {numbers}".encode()
    own[: min(len(key), _KEY_BYTES)] = np.frombuffer(key[-_KEY_BYTES:], np.uint8)
    rows = gathered(world, own)
    beside = np.flatnonzero((rows == rows[world.rank]).all(axis=1)).tolist()
    if len(beside) > 1:
        threads = max(1, available_threads() // len(beside))
        place = beside.index(world.rank)
        first, behind = (len(numbers) * number // len(beside) for number in (place, place + 1))
        if behind > first and len(numbers) >= len(beside):
            with contextlib.suppress(OSError):  # sandboxes may refuse it: then the system chooses
                run_on(numbers[first:behind])
        if available_threads() > threads:
            os.environ.setdefault("NEOCOG_THREADS", str(threads))
    return available_threads()
