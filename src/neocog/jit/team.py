"""Threads that enter a program together."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable

from neocog.interrupts import interrupts_deferred

Work = Callable[[int], None]


class Team:
    """`size` threads, the caller's among them. They sleep between calls.

    Python threads do: a call into compiled code releases the interpreter lock.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._members: list[_Member] = []
        self._process = 0
        weakref.finalize(self, _dismiss, self._members)

    def run(self, work: Work) -> None:
        """Call work(0) here and work(1) … work(size - 1) elsewhere; return when all have.

        They may wait for each other inside, so all must enter: Ctrl-C takes effect when they are done.
        """
        if self.size == 1:
            work(0)
            return
        if self._process != os.getpid():  # the first call, or the first in a forked process: threads are not inherited
            self._members[:] = [_Member(index) for index in range(1, self.size)]
            self._process = os.getpid()
        with interrupts_deferred():
            for member in self._members:
                member.start(work)
            work(0)
            for member in self._members:
                member.wait()


class _Member:
    """One waiting thread. A bare lock is the cheapest thing in Python to wake a thread with."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._work: Work | None = None
        self._ready, self._done = threading.Lock(), threading.Lock()
        self._ready.acquire()
        self._done.acquire()
        threading.Thread(target=self._serve, name=f"neocog-{index}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            self._ready.acquire()
            if self._work is None:
                return
            self._work(self._index)
            self._done.release()

    def start(self, work: Work | None) -> None:
        self._work = work
        self._ready.release()

    def wait(self) -> None:
        self._done.acquire()


def _dismiss(members: list[_Member]) -> None:
    for member in members:
        member.start(None)
