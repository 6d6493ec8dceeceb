"""Signals that ask a program to end are raised where they can be handled, held back where they harm, and never lost."""

from __future__ import annotations

import contextlib
import itertools
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from neocog.interrupts import ENDING, Terminated, interrupts_deferred, signals_raised
from neocog.jit.cache import ObjectCache
from neocog.model.writing import write_atomically
from neocog.reading import read_file

PATIENCE = 60.0  # seconds until something that should have come is given up


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Whatever a test does, the handlers of the test run come back."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def meet(number: int) -> None:
    """Raise a signal, then run Python code, in which it is handled, until the test has waited long enough."""
    signal.raise_signal(number)
    wait_for_ever()


def wait_for_ever() -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        pass
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_than_interrupts_are_raised_with_their_number(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    with pytest.raises(Terminated) as raised, signals_raised():
        meet(number)
    assert raised.value.number == number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_an_interrupt_is_raised_although_it_would_end_the_process() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with pytest.raises(KeyboardInterrupt), signals_raised():
        meet(signal.SIGINT)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_is_ignored_stays_so(number: int) -> None:
    signal.signal(number, signal.SIG_IGN)
    with signals_raised():
        signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_IGN


def test_a_handler_of_somebody_else_stays() -> None:
    seen: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    with signals_raised():
        signal.raise_signal(signal.SIGTERM)
    assert seen == [signal.SIGTERM]


class Dying:
    """Meets a signal in its destructor, which cannot pass exceptions on."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_an_interrupt_in_a_destructor_is_not_lost(number: int, kind: type[BaseException]) -> None:
    signal.signal(number, signal.SIG_DFL)

    def act() -> None:
        Dying(number)  # ends at once
        wait_for_ever()

    with pytest.raises(kind) as raised, signals_raised():
        act()
    if isinstance(raised.value, Terminated):
        assert raised.value.number == number


def test_other_exceptions_in_destructors_are_told_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Failing:
        def __del__(self) -> None:
            raise ValueError("in a destructor")

    with signals_raised():
        Failing()
    assert [type(lost.exc_value) for lost in told] == [ValueError]


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_is_held_back_until_the_body_is_done(number: int) -> None:
    done: list[str] = []
    signal.signal(number, signal.SIG_DFL)

    def body() -> None:
        with interrupts_deferred():
            signal.raise_signal(number)
            done.append("body")

    with pytest.raises(KeyboardInterrupt), signals_raised():
        body()
    assert done == ["body"]


def test_what_the_system_does_by_itself_is_not_held_back() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with interrupts_deferred():
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_while_handlers_are_put_back_reaches_the_right_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # The handlers are exchanged one by one; a signal may come between two of them, and end the exchange.
    seen: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    exchange: Callable[..., Any] = signal.signal
    calls = []

    def disturbed(number: int, handler: Any) -> Any:
        result = exchange(number, handler)
        calls.append(number)
        if number == signal.SIGINT and handler is signal.default_int_handler:
            signal.raise_signal(signal.SIGINT)
        return result

    monkeypatch.setattr(signal, "signal", disturbed)
    with pytest.raises(KeyboardInterrupt), interrupts_deferred():
        pass
    monkeypatch.undo()
    signal.raise_signal(signal.SIGTERM)
    assert seen == [signal.SIGTERM]


def test_an_interrupt_while_the_command_loads_ends_it_without_a_word() -> None:
    code = "import neocog.app.start, signal; signal.raise_signal(signal.SIGINT); print('went on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


def test_a_command_in_the_background_of_a_script_goes_on_ignoring_interrupts() -> None:
    ignore = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    code = f"{ignore}; import neocog.app.start; print(signal.getsignal(signal.SIGINT))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, str(signal.SIG_IGN))


# Wherever it comes, an interrupt ends what is done ------------------------------------------------------------------


def interrupted_everywhere(action: Callable[[], object], at: str = "line") -> int:
    """Run `action` with an interrupt at its first line (or "opcode"), at its second, and so on, until it ends first.

    Returns:
        How many interrupts there were. Each reached the caller: nothing took one for a fault of its own, or hid it.
    """
    for count in itertools.count():
        left = count

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal left
            frame.f_trace_opcodes = at == "opcode"
            if event == at:
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            action()
        except KeyboardInterrupt:
            continue
        finally:
            sys.settrace(before)
        assert left > 0 or count == 0, f"the interrupt at {at} {count} was lost"
        if count:
            return count
    raise AssertionError("unreachable")


@pytest.mark.parametrize("kind", ["file", "folder", "too long", "missing"])
def test_an_interrupt_while_a_file_is_read_is_no_fault_of_the_file(tmp_path: Path, kind: str) -> None:
    """A file and its opener both closed it once: an interrupt between them was told as EBADF, "cannot be read"."""
    path = tmp_path if kind == "folder" else tmp_path / kind
    if kind in ("file", "too long"):
        path.write_bytes(b"content")

    def read() -> None:
        with contextlib.suppress(OSError):
            read_file(path, 2 if kind == "too long" else 100)

    assert interrupted_everywhere(read, "opcode") > 20


def test_an_interrupt_while_a_file_is_written_is_no_fault_of_the_disk(tmp_path: Path) -> None:
    assert interrupted_everywhere(lambda: write_atomically(tmp_path / "file", b"content", forced=False)) > 20
    assert (tmp_path / "file").read_bytes() == b"content"


def test_an_interrupt_while_an_object_is_kept_reaches_the_caller(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache")

    def keep() -> None:
        cache.store("key", b"body")
        cache.load("key")

    keep()
    assert interrupted_everywhere(keep) > 20
