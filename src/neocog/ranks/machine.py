"""Processes of one machine: what they tell each other goes through memory that all of them see.

A message of a library takes some hundred microseconds from process to process, and copies what it carries several
times. Here a process writes what it has, and says so by a counter; the others look at the counters. That needs a
processor on which stores are seen in their order (x86), and a system that tells of the end of a process (Linux).
"""

from __future__ import annotations

import contextlib
import mmap
import os
import platform
import secrets
import select
import time
import weakref
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from neocog.ranks.gather import from_first, gathered, gathered_lists, swapped
from neocog.ranks.world import GatheringWorld, LostProcessError, World
from neocog.system import process_space, processors, seen_by_others

ORDERED = ("x86_64", "AMD64")  # processors on which stores are seen in their order
LINE = 64  # bytes of a cache line
WORD = 16  # bytes that tell whose memory it is
MESSAGE = 1 << 16  # most bytes of a message that goes through memory
SPIN = 0.001  # seconds of looking before the first sleep, where each process has a processor of its own
SPIN_CROWDED = 0.00002  # and where they must share them
SLEEP, MOST_SLEEP = 0.00005, 0.001  # seconds between two looks
ALIVE_EVERY = 0.1  # seconds between two looks at whether the others still run


def on_one_machine(world: World, timeout: float) -> World:
    """Return a world whose processes exchange through memory, or the given one where they do not all see the same.

    Arguments:
        world: the processes.
        timeout: seconds that a process may be late.
    """
    if world.size == 1:
        return world
    own = np.frombuffer(f"{os.getpid():020d} {_place()}".encode()[:256].ljust(256), np.uint8).copy()
    everyone = [bytes(row).decode() for row in gathered(world, own)]
    places = {told[20:] for told in everyone}
    if len(places) > 1 or "?" in everyone[0]:
        return world
    watched = None
    with contextlib.suppress(OSError):
        watched = Watched([int(told[:20]) for told in everyone])
    header = _common_bytes(world, world.size * (LINE + 2 * MESSAGE), usable=watched is not None)
    bound = set(gathered_lists(world, np.array(processors() or [0])).tolist())
    if header is None or watched is None:
        return world
    return OneMachine(world, header, watched, timeout, crowded=len(bound) < world.size)


def _place() -> str:
    """Return what processes have in common that can see each other's memory and end; "?" where nobody knows."""
    return (process_space() if platform.machine() in ORDERED else None) or "?"


class Watched:
    """What tells of the end of processes.

    Raises:
        OSError: nothing does, as of processes that are not to be seen.
    """

    def __init__(self, processes: list[int]) -> None:
        self._poll = select.poll()
        self._handles: list[int] = []
        weakref.finalize(self, _close, self._handles)
        for process in set(processes):
            self._handles.append(os.pidfd_open(process))
            self._poll.register(self._handles[-1], select.POLLIN)

    def ended(self) -> bool:
        """Return whether one of them has ended."""
        return bool(self._poll.poll(0))


def _close(handles: list[int]) -> None:
    for handle in handles:
        os.close(handle)


def _common_bytes(world: World, size: int, *, usable: bool = True) -> NDArray[np.uint8] | None:
    """Return memory that all processes see, zeros; None in all of them if one of them cannot have it.

    It is a file without a name, which the first process makes and the others find among those that it has open. A word
    in it that only these processes know tells that it is the same memory: numbers of processes, and of files, are the
    same elsewhere, as in copies of a virtual machine.
    """
    handle, word = -1, secrets.token_bytes(WORD)
    if usable and world.rank == 0:
        with contextlib.suppress(OSError):
            handle = os.memfd_create("neocog", os.MFD_CLOEXEC)
            os.ftruncate(handle, size + WORD)
            os.pwrite(handle, word, size)
    try:
        told = from_first(world, lambda: "" if handle < 0 else f"{seen_by_others(handle)} {word.hex()}")
        path, _, known = told.partition(" ")
        memory = _opened(path, size, bytes.fromhex(known)) if path and usable else None
        everyone = gathered(world, np.array([memory is not None]))
    finally:
        if handle >= 0:
            os.close(handle)
    return memory if everyone.all() else None


def _opened(path: str, size: int, word: bytes) -> NDArray[np.uint8] | None:
    try:
        handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:  # another user's
        return None
    try:
        if os.fstat(handle).st_size != size + WORD or os.pread(handle, WORD, size) != word:
            return None
        return np.frombuffer(mmap.mmap(handle, size), np.uint8)
    except (OSError, ValueError):
        return None
    finally:
        os.close(handle)


class OneMachine:
    """A world whose processes run on one machine.

    Arguments:
        world: the processes, for what is better sent.
        header: memory that all see: counters and short messages.
        watched: tells when one of them has ended.
        timeout: seconds that a process may be late.
        crowded: whether there are fewer processors than processes.
    """

    def __init__(
        self, world: World, header: NDArray[np.uint8], watched: Watched, timeout: float, *, crowded: bool = False
    ) -> None:
        self.rank, self.size = world.rank, world.size
        self._world, self._watched, self._timeout = world, watched, timeout
        counters, messages = header[: self.size * LINE], header[self.size * LINE :]
        self._counters = counters.view(np.int64).reshape(self.size, -1)[:, 0]
        self._messages = messages.reshape(2, self.size, MESSAGE)
        self._met = self._sent = 0
        self._spin = SPIN_CROWDED if crowded else SPIN

    def common(self, count: int) -> NDArray[np.float32] | None:
        """Return so many numbers that all processes see; None in all of them where there is no room. All must ask."""
        memory = _common_bytes(self, 4 * count)
        return None if memory is None else memory.view(np.float32)

    def barrier(self) -> None:
        """Return when all have come; what they wrote before can then be read.

        Raises:
            LostProcessError: one of them has ended, or is late.
        """
        self._met += 1
        self._counters[self.rank] = self._met
        if not self._all_here():
            self._wait()

    def _all_here(self) -> bool:
        return bool(self._counters.min() >= self._met)

    def _wait(self) -> None:
        begun = looked = time.perf_counter()
        pause = SLEEP
        while not self._all_here():
            now = time.perf_counter()
            if now - begun < self._spin:
                continue
            if now - looked > ALIVE_EVERY:
                looked = now
                self._look_after_others(now - begun)
            time.sleep(pause)
            pause = min(MOST_SLEEP, 2 * pause)

    def _look_after_others(self, waited: float) -> None:
        gone = self._watched.ended()
        if (gone or waited > self._timeout) and not self._all_here():
            cause = "a process has ended" if gone else f"a process is {waited:.0f} s late"
            raise LostProcessError(
                f"process {self.rank} of {self.size} no longer hears from the others", details=(f"cause: {cause}",)
            )

    def all_gather(self, values: NDArray[Any], everyone: NDArray[Any]) -> None:
        """Fill `everyone` (size, n), bytes, with the values (n,) of all."""
        size = len(values)
        if size > MESSAGE:
            if hasattr(self._world, "all_gather"):
                cast(GatheringWorld, self._world).all_gather(values, everyone)
            else:
                everyone[...] = gathered(self._world, values)
            return
        messages = self._messages[self._sent % 2]  # who is slow may still be reading the others
        self._sent += 1
        messages[self.rank, :size] = values
        self.barrier()
        everyone[...] = messages[:, :size]

    def all_to_all(self, parts: NDArray[Any], received: NDArray[Any]) -> None:
        """Send row r of `parts` to process r, and fill `received` with what comes from each."""
        received[...] = swapped(self._world, parts)

    def all_reduce(self, values: NDArray[Any]) -> None:
        """Replace the values of every process by the sums of all."""
        self._world.all_reduce(values)

    def broadcast(self, values: NDArray[Any], root: int) -> None:
        """Replace the values of every process by those of one."""
        self._world.broadcast(values, root)
