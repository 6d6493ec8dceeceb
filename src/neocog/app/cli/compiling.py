"""What is being compiled, told on stderr where it takes a while: a line that moves on a terminal, one plain line
elsewhere.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from neocog.engines.base import Compiling, compiling_told_to

PATIENCE = 0.5  # seconds of compiling before a word is said
REFRESH = 0.1  # seconds between two drawings
TURNING = "|/-\\"
CLEAR_LINE = "\r\x1b[K"


@contextlib.contextmanager
def told_of_compiling(*, quiet: bool = False) -> Iterator[None]:
    """Show what engines compile while the body runs, unless `quiet`."""
    if quiet or sys.stderr is None:
        yield
        return
    display = Display(sys.stderr)
    try:
        with compiling_told_to(display.hear):
            yield
    finally:
        display.close()


class Display:
    """Shows a program that is compiled, from when it has taken PATIENCE seconds until it is done.

    A thread draws, since a single function may keep LLVM busy for a while.

    Arguments:
        stream: where to.
        clock: gives seconds; tests pass their own.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._lock = threading.Lock()
        self._now: Compiling | None = None
        self._began = 0.0
        self._turns = 0
        self._told = False
        self._drawn = False
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def hear(self, now: Compiling) -> None:
        """Take note of what is compiled."""
        with self._lock:
            if self._now is None or self._now.program != now.program:
                self._began = self._clock()
            self._now = now if now.done < now.total else None
            if self._now is None:
                self._clear()
        if self._thread is None:
            self._thread = threading.Thread(target=self._draw_on, name="neocog-compiling", daemon=True)
            self._thread.start()

    def draw(self) -> None:
        """Bring what is seen up to date."""
        with self._lock, contextlib.suppress(OSError, ValueError):  # stderr is closed
            now = self._now
            if now is None or self._clock() - self._began < PATIENCE:
                return
            if self._stream.isatty():
                self._turn(now)
            elif not self._told:
                print("compiling the network for this processor …", file=self._stream, flush=True)
            self._told = True

    def close(self) -> None:
        """Leave nothing behind on a terminal."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._now = None
            self._clear()

    def _draw_on(self) -> None:
        while not self._ended.wait(REFRESH):
            self.draw()

    def _turn(self, now: Compiling) -> None:
        self._turns += 1
        line = f"{TURNING[self._turns % len(TURNING)]} {describe_compiling(now)}"
        self._stream.write(CLEAR_LINE + line[: shutil.get_terminal_size().columns - 1])  # a longer one would wrap
        self._stream.flush()
        self._drawn = True

    def _clear(self) -> None:
        if self._drawn:
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(CLEAR_LINE)
                self._stream.flush()
            self._drawn = False


def describe_compiling(now: Compiling) -> str:
    """Say what is compiled, and how far it is."""
    return f"compiling {now.program}: {now.part} ({now.done + 1} of {now.total})"
