"""Alternation, and the comparison that comes before it. No time is asserted."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import rounds
from benchmarks.rounds import ROUNDED_TOLERANCE, DisagreementError, alternate, check_equal


def test_every_side_has_as_many_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "STRETCH", 1e-6)
    monkeypatch.setattr(rounds, "settle", lambda: None)
    times = alternate({"a": lambda: None, "b": lambda: None, "c": lambda: None}, 4)
    assert {name: len(values) for name, values in times.items()} == {"a": 4, "b": 4, "c": 4}


def test_the_order_rotates(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(rounds, "settle", lambda: None)
    monkeypatch.setattr(rounds, "repeats", lambda call: 1)
    alternate({name: (lambda name=name: seen.append(name)) for name in "abc"}, 3)
    assert "".join(seen) == "abcbcacab"


def test_waiting_for_threads_that_spin_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = iter(range(10**9))
    monkeypatch.setattr(rounds, "QUIET", 1e-4)
    monkeypatch.setattr(rounds, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(rounds.time, "process_time", lambda: float(next(busy)))
    rounds.settle()


def test_what_differs_is_not_timed() -> None:
    logits = np.array([[1.0, -200.0]], np.float32)
    check_equal("peer", [logits], [logits * (1 + 5e-5)])
    with pytest.raises(DisagreementError, match="peer computes something else: call 1 differs"):
        check_equal("peer", [logits, logits], [logits, logits * (1 + 2e-4)])


def test_a_side_that_may_round_is_held_to_a_looser_bound() -> None:
    check_equal("peer", [2.0], [2.01], ROUNDED_TOLERANCE)
    with pytest.raises(DisagreementError):
        check_equal("peer", [2.0], [2.2], ROUNDED_TOLERANCE)


@pytest.mark.parametrize("other", [float("nan"), np.zeros(2)])
def test_nan_and_other_shapes_differ(other: object) -> None:
    with pytest.raises(DisagreementError):
        check_equal("peer", [2.0], [other])
