"""Threads that enter a program together."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.interrupts import interrupts_deferred
from neocog.jit.cache import ObjectCache
from neocog.jit.compile import Library, build_objects
from neocog.jit.host import host_target

LINE = 64  # bytes of a cache line
Bases = tuple[int, int, int, int]  # the addresses that a function takes first


class Job:
    """A function that all threads of a team enter, each with addresses of its own, its index and their number."""

    def __init__(self, function: Callable[..., None], bases: Sequence[Bases]) -> None:
        self._function = function  # kept as long as it may be called
        address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
        flat = [value for addresses in bases for value in addresses]
        self._slots = np.array([address, len(bases), *flat], np.int64)
        self.threads = len(bases)
        self.address = self._slots.ctypes.data


class Team:
    """`size` threads, the caller's among them.

    Those that have just worked look out for more work for some hundred microseconds; then they sleep. They are Python
    threads: a call into compiled code releases the interpreter lock.

    Arguments:
        size: number of threads.
        cache: where the compiled functions are kept that hand over work.
    """

    def __init__(self, size: int, cache: ObjectCache | None = None) -> None:
        self.size = size
        self._cache = cache
        self._crew: _Crew | None = None
        self._process = 0

    def run(self, job: Job) -> None:
        """Have every thread enter a job for this size of team once; return when all have left it.

        They may wait for each other inside, so all must enter: Ctrl-C takes effect when they are done.
        """
        with interrupts_deferred():
            crew = self._crew
            if crew is None or self._process != os.getpid():  # threads are not inherited by a forked process
                crew = self._crew = _Crew(self.size - 1, _compiled(self._cache))
                self._process = os.getpid()
                weakref.finalize(self, crew.dismiss, self._process)
            crew.run(job)


class _Crew:
    """The members of a team, and the memory through which they are called."""

    def __init__(self, count: int, compiled: Library) -> None:
        from neocog.emit.team import MEMBER_SLOTS, TEAM_SLOTS, WAKE

        self.compiled = compiled
        self._begin, self._finish = compiled.functions["begin"], compiled.functions["finish"]
        self.team, self._lines = _lines(TEAM_SLOTS), _lines(MEMBER_SLOTS * count)
        self._team_at, self._lines_at, self._count = self.team.ctypes.data, self._lines.ctypes.data, count
        lines = self._lines.reshape(count, MEMBER_SLOTS)
        self._members = [_Member(index + 1, self, line) for index, line in enumerate(lines)]
        self._wake = lines[:, WAKE]

    def run(self, job: Job) -> None:
        generation = int(self.team[0])
        try:
            self._call(job.address)
        finally:
            # The handler of a signal may have raised in between. The others have begun, and wait for this thread.
            if int(self.team[0]) != generation:
                self._wake_sleepers()
                self._finish(self._team_at, job.address, 0, 0, self._count, 0)

    def _call(self, job: int) -> None:
        self._begin(self._team_at, job, self._lines_at, 0, self._count, 0)
        self._wake_sleepers()

    def _wake_sleepers(self) -> None:
        if self._wake.any():
            for index, wake in enumerate(self._wake.tolist()):
                if wake:
                    self._members[index].wake()
                    self._wake[index] = 0

    def dismiss(self, process: int) -> None:
        """Send the members home."""
        if process == os.getpid():
            self._call(0)


class _Member:
    """One waiting thread. A bare lock is the cheapest thing in Python to wake a thread with."""

    def __init__(self, index: int, crew: _Crew, line: NDArray[np.int64]) -> None:
        self._sleeping = threading.Lock()
        self._sleeping.acquire()
        # The thread knows what it needs and no more: the memory lives as long as it, and a team that nobody uses ends.
        arguments = (index, crew.compiled, crew.team, line, self._sleeping)
        threading.Thread(target=_serve, args=arguments, name=f"neocog-{index}", daemon=True).start()

    def wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # it was woken already
            self._sleeping.release()


def _serve(
    index: int, compiled: Library, team: NDArray[np.int64], line: NDArray[np.int64], sleeping: threading.Lock
) -> None:
    from neocog.emit.team import HOME

    serve, addresses = compiled.functions["serve"], (team.ctypes.data, line.ctypes.data)
    while True:
        serve(*addresses, 0, 0, index, 0)
        if line[HOME]:
            return
        sleeping.acquire()


def _lines(slots: int) -> NDArray[np.int64]:
    """Give zeroed slots of eight bytes that begin on a cache line."""
    block: NDArray[Any] = np.zeros(slots * 8 + LINE, np.uint8)
    start = -block.ctypes.data % LINE
    return block[start : start + slots * 8].view(np.int64)


def _compiled(cache: ObjectCache | None) -> Library:
    from neocog.emit.team import FUNCTIONS, team_text

    target = host_target()

    def compile_team() -> list[bytes]:
        from neocog.jit.codegen import generate

        return [generate(team_text(target), target, thorough=True)]

    return build_objects("team", compile_team, target, FUNCTIONS, cache or ObjectCache())
