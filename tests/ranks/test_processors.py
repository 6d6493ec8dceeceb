"""Processors are shared out among processes that may use the same ones."""

import os

import numpy as np
import pytest

from neocog.ranks import processors
from neocog.ranks.processors import share_processors

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system binds no processes")


class Beside:
    """A world of which each process says what it is told to say."""

    def __init__(self, rank: int, others: list[bool]) -> None:
        self.rank, self.size, self._others = rank, len(others), others

    def all_gather(self, values, everyone):
        """Fill in what this one says for those on the same processors, and something else for the others."""
        for rank, same in enumerate(self._others):
            everyone[rank] = values if same else np.full_like(values, 7)


@pytest.fixture
def bound(monkeypatch):
    """Pretend to be on four processors; return those that the process was bound to."""
    kept: list[list[int]] = [[4, 5, 6, 7]]
    monkeypatch.delenv("NEOCOG_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(kept[-1]))
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, wanted: kept.append(sorted(wanted)))
    yield kept
    os.environ.pop("NEOCOG_THREADS", None)


def unlimited(monkeypatch, quota=None):
    """Let no control group limit this process, or one to so many processors."""

    def threads() -> int:
        told = os.environ.get("NEOCOG_THREADS")
        most = len(os.sched_getaffinity(0))
        return int(told) if told else min(most, quota or most)

    monkeypatch.setattr(processors, "available_threads", threads)


@pytest.mark.parametrize(("rank", "wanted"), [(0, [4, 5]), (1, [6, 7])])
def test_two_processes_on_four_processors_have_two_each(rank, wanted, bound, monkeypatch):
    unlimited(monkeypatch)
    assert share_processors(Beside(rank, [True, True])) == 2
    assert bound[-1] == wanted


def test_processes_on_other_processors_are_not_counted(bound, monkeypatch):
    unlimited(monkeypatch)
    assert share_processors(Beside(1, [False, True, False, True])) == 2
    assert bound[-1] == [4, 5]
    unlimited(monkeypatch)


def test_a_process_that_a_launcher_bound_keeps_its_own(bound, monkeypatch):
    unlimited(monkeypatch)
    assert share_processors(Beside(0, [True, False])) == 4
    assert len(bound) == 1


def test_a_quota_is_shared_too(bound, monkeypatch):
    unlimited(monkeypatch, quota=2)
    assert share_processors(Beside(0, [True, True])) == 1
    assert bound[-1] == [4, 5]


def test_more_processes_than_processors_have_a_thread_each_anywhere(bound, monkeypatch):
    unlimited(monkeypatch)
    assert share_processors(Beside(0, [True] * 5)) == 1
    assert len(bound) == 1
