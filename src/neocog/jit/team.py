"""Threads that enter a program together."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.errors import EngineError, NeocogWarning
from neocog.forks import tell_of_forks
from neocog.interrupts import interrupts_deferred
from neocog.jit.cache import ObjectCache
from neocog.jit.compile import Library, build_objects
from neocog.jit.host import host_target
from neocog.target.processor import Target

LINE = 64  # bytes of a cache line
SOON = 0.0005  # seconds between two jobs that others are woken for, though they take no longer than waking somebody
LEAST_PAUSE, MOST_PAUSE = 16, 1024  # jobs that are done alone before others are called again
STUCK = 0.0002  # seconds more that a job takes with others where one of them has lost its processor, at least
FORGETTING = 64  # jobs that others helped with, of which each takes such a part off the pauses to come
Bases = tuple[int, int, int, int]  # the addresses that a function takes first


class Pause:
    """Whether it is worth calling others to a short job: not for a while after one of them lost its processor in the
    middle, or calling them saved no time for a while.

    That is so where something else needs their processors: then one waits for a thread that does not run, or wakes one
    that takes the caller's place. The pause is longer the more often that happens.
    """

    def __init__(self) -> None:
        self.left = self._length = LEAST_PAUSE  # at first, to learn how long it takes alone
        self._alone = math.inf  # seconds, at best
        self._vain = 0  # calls that saved no time, one after the other

    def note(self, seconds: float, called: int, came: int) -> None:
        """Learn from a run of the job."""
        if came == 0:
            self._alone = min(self._alone, seconds)
        if called == 0:
            self.left -= 1
        elif came and seconds <= self._alone:
            self._length, self._vain = max(LEAST_PAUSE, self._length - 1 - self._length // FORGETTING), 0
        else:  # the first runs with others are slow, since what they work on is not near them yet
            self._vain += 1
            if self._vain >= LEAST_PAUSE or (came and seconds > self._alone + STUCK):
                self.left, self._length, self._vain = self._length, min(MOST_PAUSE, 2 * self._length), 0


class Job:
    """A function that all threads of a team enter, each with addresses of its own, its index and their number."""

    def __init__(self, function: Callable[..., None], bases: Sequence[Bases]) -> None:
        self._function = function  # kept as long as it may be called
        address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
        flat = [value for addresses in bases for value in addresses]
        self._slots = np.array([address, len(bases), *flat], np.int64)
        self.threads = len(bases)
        self.address = self._slots.ctypes.data
        self.pause = Pause()


class Team:
    """`size` threads, the caller's among them.

    Those that have just worked look out for more work for some hundred microseconds; then they sleep. They are Python
    threads: a call into compiled code releases the interpreter lock.

    Arguments:
        size: number of threads.
        objects: where the compiled functions are kept that hand over work.
    """

    def __init__(self, size: int, objects: ObjectCache | None = None) -> None:
        self.size = size
        self._objects = objects
        self._crew: _Crew | None = None
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Forget the members: threads are not inherited by a forked process."""
        self._crew = None

    def gather(self) -> int:
        """Start the threads, if they are not there yet, and return how many there are: fewer than wanted where the
        system starts no more.
        """
        if self._crew is None:
            with interrupts_deferred():
                crew = self._crew = _Crew(self.size - 1, _compiled(host_target(), self._objects))
                weakref.finalize(self, crew.dismiss, os.getpid())
            if crew.count < self.size - 1:
                warning = NeocogWarning(
                    f"{crew.count + 1} of {self.size} threads could be started; fewer take longer for the same results",
                    hint="this process may start more with a higher ulimit -u, and more memory (ulimit -v)",
                )
                warnings.warn(warning, stacklevel=1)
            self.size = crew.count + 1
        return self.size

    def run(self, job: Job) -> None:
        """Have every thread enter a job for this size of team once; return when all have left it.

        They may wait for each other inside, so all must enter. No Python runs in between: Ctrl-C takes effect when they
        are done.

        Raises:
            EngineError: the team is smaller than the job needs; see `gather`.
        """
        if self._crew is None:
            self.gather()
            assert self._crew is not None
            if job.threads != self.size:
                raise EngineError(f"{self.size} of {job.threads} threads could be started")
        self._crew.run(job)

    def share(self, job: Job) -> None:
        """Have the threads that are awake enter a job once, together with this one; return when all have left it.

        It is for jobs that take no longer than waking a thread: where nobody looks out for work, this thread does all.
        Where such jobs follow each other closely, threads are woken for the next one; where that makes them slower,
        nobody is called for a while. What is computed must not depend on how many take part.
        """
        if self._crew is None:
            self.gather()
            assert self._crew is not None
        self._crew.share(job)


class _Crew:
    """The members of a team, and the memory through which they are called. There may be fewer than wanted."""

    def __init__(self, wanted: int, compiled: Library) -> None:
        from neocog.emit.team import ABSENT_SLOT, ASLEEP, MEMBER_SLOTS, TEAM_SLOTS

        self._functions = compiled.functions
        self._run, self._share = compiled.functions["run"], compiled.functions["share"]
        team, lines = _lines(TEAM_SLOTS), _lines(MEMBER_SLOTS * wanted)
        self.asleep = lines.reshape(wanted, MEMBER_SLOTS)[:, ASLEEP]
        self._absent = team.data[ABSENT_SLOT : ABSENT_SLOT + 1]  # read faster than an array
        self._shared = -math.inf  # when the last short job ended, seconds
        self._team_at, self._lines_at, self.count = team.ctypes.data, lines.ctypes.data, 0
        with contextlib.suppress(RuntimeError, MemoryError):  # no more threads can be started
            for index, line in enumerate(lines.reshape(wanted, MEMBER_SLOTS)):
                # A thread knows what it needs and no more: the memory lives as long as it, and a team that nobody uses
                # ends.
                arguments = (index + 1, compiled, team, line)
                compiled.functions["enlist"](0, line.ctypes.data, 0, 0, 0, 0)
                threading.Thread(target=_serve, args=arguments, name=f"neocog-{index + 1}", daemon=True).start()
                self.count += 1

    def run(self, job: Job) -> None:
        self._run(self._team_at, job.address, self._lines_at, 0, self.count, 0)

    def share(self, job: Job) -> None:
        begun = time.perf_counter()
        called = 0 if job.pause.left else self.count
        self._share(self._team_at, job.address, self._lines_at, 0, called, 0)
        ended, absent = time.perf_counter(), self._absent[0]
        job.pause.note(ended - begun, called, called - absent)
        if absent and begun - self._shared < SOON:
            self._functions["wake"](0, 0, self._lines_at, 0, self.count, 0)
        self._shared = ended

    def dismiss(self, process: int) -> None:
        """Send the members home."""
        if process == os.getpid():
            self._functions["dismiss"](self._team_at, 0, self._lines_at, 0, self.count, 0)


def _serve(index: int, compiled: Library, team: NDArray[np.int64], line: NDArray[np.int64]) -> None:
    compiled.functions["serve"](team.ctypes.data, line.ctypes.data, 0, 0, index, 0)


def _lines(slots: int) -> NDArray[np.int64]:
    """Return zeroed slots of eight bytes that begin on a cache line."""
    block: NDArray[Any] = np.zeros(slots * 8 + LINE, np.uint8)
    start = -block.ctypes.data % LINE
    return block[start : start + slots * 8].view(np.int64)


_libraries: dict[Target, Library] = {}


def _compiled(target: Target, objects: ObjectCache | None) -> Library:
    """Return what all teams of this process use."""
    library = _libraries.get(target)
    if library is None:
        library = _libraries[target] = _loaded(target, objects or ObjectCache())
    return library


def _loaded(target: Target, objects: ObjectCache) -> Library:
    from neocog.emit.team import FUNCTIONS, team_text

    def compile_team() -> list[bytes]:
        from neocog.jit.codegen import generate

        return [generate(team_text(target), target, thorough=True)]

    return build_objects("team", compile_team, target, FUNCTIONS, objects)
