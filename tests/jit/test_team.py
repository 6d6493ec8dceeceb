"""A team enters its work together, once a call."""

from __future__ import annotations

import gc
import signal
import threading
import time

import pytest

from neocog.jit.team import Team


def test_every_member_works_once_a_call() -> None:
    team = Team(4)
    for _ in range(50):
        seen: list[int] = []
        team.run(seen.append)
        assert sorted(seen) == [0, 1, 2, 3]


def test_members_work_at_the_same_time() -> None:
    team, together = Team(3), threading.Barrier(3, timeout=10)
    team.run(lambda _: (together.wait(), None)[1])


def test_a_team_of_one_starts_no_thread() -> None:
    before = threading.active_count()
    Team(1).run(lambda _: None)
    assert threading.active_count() == before


def test_an_interrupt_waits_for_the_work_and_then_comes() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    team, together = Team(2), threading.Barrier(2, timeout=10)
    finished: list[int] = []

    def work(index: int) -> None:
        if index == 0:
            signal.raise_signal(signal.SIGINT)
        together.wait()
        finished.append(index)

    with pytest.raises(KeyboardInterrupt):
        team.run(work)
    assert sorted(finished) == [0, 1]
    team.run(finished.append)
    assert sorted(finished) == [0, 0, 1, 1]
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


def test_threads_end_with_their_team() -> None:
    before = set(threading.enumerate())
    team = Team(3)
    team.run(lambda _: None)
    started = set(threading.enumerate()) - before
    assert len(started) == 2
    del team
    gc.collect()
    for thread in started:
        thread.join(timeout=10)
        assert not thread.is_alive()


def test_an_idle_team_uses_no_processor_time() -> None:
    team = Team(4)
    team.run(lambda _: None)
    start = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - start < 0.05
