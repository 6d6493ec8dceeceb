"""Signals that ask a program to end: raised where they can be handled, held back where they would do harm.

Ctrl-C (SIGINT) raises KeyboardInterrupt in Python. SIGTERM, which service managers and `kill` send, and SIGHUP, which a
closed terminal does, would end the process at once, in the middle of whatever it writes; a command line asks for them
to be raised too.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from neocog.system import signals

ENDING = tuple(signals("SIGINT", "SIGTERM", "SIGHUP"))
"""Signals that ask a program to end."""

AGAIN = 0.01  # seconds after which an interrupt that was lost is raised once more


class Terminated(KeyboardInterrupt):
    """A signal other than Ctrl-C's asked the program to end.

    Arguments:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


@contextmanager
def signals_raised() -> Iterator[None]:
    """Raise KeyboardInterrupt for Ctrl-C, and Terminated for SIGTERM and SIGHUP, while the body runs.

    Signals that are ignored (as by `nohup`), or that somebody handles already, stay as they are. An interrupt that
    meets code which cannot pass exceptions on, such as a destructor, is raised again after it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    hook = sys.unraisablehook
    before: list[tuple[int, Any]] = []
    try:
        sys.unraisablehook = _raising_again(hook)
        for number in ENDING:
            handler = signal.getsignal(number)
            if handler is signal.SIG_DFL:
                before.append((number, handler))
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else _terminate)
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
        sys.unraisablehook = hook


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated(number)


def _raising_again(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    def unraisable(lost: Any) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt):
            hook(lost)
            return
        # Not at once, and not from here: whatever is raised while this hook runs is lost as well.
        number = lost.exc_value.number if isinstance(lost.exc_value, Terminated) else signal.SIGINT
        again = threading.Timer(AGAIN, _thread.interrupt_main, (number,))
        again.daemon = True
        again.start()

    return unraisable


class _Held:
    """The handlers of signals that are held back."""

    def __init__(self) -> None:
        self.handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self.seen: list[tuple[int, FrameType | None]] = []
        self.over = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        # A signal that comes while handlers are exchanged may find this one in place although it is over.
        if self.over:
            self.handlers[number](number, frame)
        else:
            self.seen.append((number, frame))


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Let signals that ask for an end take effect when the body is done. They reach Python in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held = _Held()
    try:
        for number in ENDING:
            handler = signal.getsignal(number)
            if callable(handler):
                held.handlers[number] = handler
                signal.signal(number, held)
        yield
    finally:
        held.over = True
        for number, handler in held.handlers.items():
            signal.signal(number, handler)
    if held.seen:
        number, frame = held.seen[0]
        held.handlers[number](number, frame)
