"""Timing in alternating rounds, after every side has proved that it computes the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Call = Callable[[], Any]

STRETCH = 0.02  # seconds that a side is timed for in each round, at least
QUIET = 0.005  # seconds without work after which all threads are thought to sleep
LONGEST_WAIT = 1.0  # seconds to wait for that, at most
CHECKS = 5  # calls of each side that are compared
TOLERANCE = 1e-4  # largest difference between two sides, in units of the largest value
ROUNDED_TOLERANCE = 5e-2  # the same, where a side may round to bfloat16, which has 8 bits


class DisagreementError(Exception):
    """Two sides computed different things, so that comparing their times would mean nothing."""


def check_equal(name: str, want: list[Any], got: list[Any], tolerance: float = TOLERANCE) -> None:
    """Raise DisagreementError unless a side's first results, losses or logits, are those of the first side."""
    for position, (ours, theirs) in enumerate(zip(want, got, strict=True)):
        a, b = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        far = float(np.abs(a - b).max()) if a.shape == b.shape else float("inf")
        if not far <= tolerance * float(np.abs(a).max()):
            raise DisagreementError(f"{name} computes something else: call {position} differs by {far:.3g}")


def repeats(call: Call, stretch: float = STRETCH) -> int:
    """Count the calls that fill a stretch of time; also warms up what is called."""
    call()
    calls, taken = 1, 0.0
    while True:
        taken = timed(call, calls)
        if taken >= stretch:
            return calls
        calls = max(calls + 1, int(calls * min(10.0, 1.2 * stretch / max(taken, 1e-9))))


def timed(call: Call, calls: int) -> float:
    """Return the seconds that a number of calls takes."""
    start = time.perf_counter()
    for _ in range(calls):
        call()
    return time.perf_counter() - start


def settle() -> None:
    """Wait until no thread of this process runs: ONNX Runtime's spin for 60 ms after a call, PyTorch's for 10."""
    end = time.perf_counter() + LONGEST_WAIT
    before = time.process_time()
    while time.perf_counter() < end:
        time.sleep(QUIET)
        now = time.process_time()
        if now - before < QUIET / 10:
            return
        before = now


def alternate(sides: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """Time all sides, taking turns; the order rotates, so that nobody always follows the same one.

    Returns:
        name → milliseconds of one call, in each round.
    """
    names = list(sides)
    counts = {name: repeats(call) for name, call in sides.items()}
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        shift = turn % len(names)
        for name in names[shift:] + names[:shift]:
            settle()
            if counts[name] > 1:  # a longer call is not changed by what the caches held before
                sides[name]()
            times[name].append(timed(sides[name], counts[name]) / counts[name] * 1e3)
    return times
