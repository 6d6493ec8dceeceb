"""A team enters its work together, once a job."""

from __future__ import annotations

import _thread
import ctypes
import gc
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest

from neocog.emit.team import team_text
from neocog.errors import EngineError, NeocogWarning
from neocog.jit.codegen import generate
from neocog.jit.compile import ENTRY
from neocog.jit.host import make_target
from neocog.jit.team import LEAST_PAUSE, MOST_PAUSE, STUCK, Job, Pause, Team


def job_of(size: int, work: Callable[[int], object]) -> Job:
    """Make a job of a Python function, which compiled code calls back."""

    def enter(_state: int, _work: int, _scratch: int, _control: int, index: int, threads: int) -> None:
        assert threads == size
        work(index)

    return Job(ENTRY(enter), [(0, 0, 0, 0)] * size)


def test_every_member_enters_once_a_job() -> None:
    team = Team(4)
    for _ in range(50):
        seen: list[int] = []
        team.run(job_of(4, seen.append))
        assert sorted(seen) == [0, 1, 2, 3]


def test_every_thread_gets_its_own_addresses() -> None:
    seen: dict[int, tuple[int, ...]] = {}

    def enter(state: int, work: int, scratch: int, control: int, index: int, _threads: int) -> None:
        seen[index] = state, work, scratch, control

    bases = [(1, 2, 3, 4), (5, 6, 7, 8), (9, 10, 11, 12)]
    Team(3).run(Job(ENTRY(enter), bases))
    assert [seen[index] for index in range(3)] == bases


def test_members_work_at_the_same_time() -> None:
    team, together = Team(3), threading.Barrier(3, timeout=60)
    passed: list[int] = []
    team.run(job_of(3, lambda index: (together.wait(), passed.append(index))))
    assert sorted(passed) == [0, 1, 2]


@pytest.mark.parametrize("size", [2, 3])
def test_no_job_is_lost_between_looking_out_and_falling_asleep(size: int) -> None:
    team, counts = Team(size), [0] * size

    def work(index: int) -> None:
        counts[index] += 1

    job, draw = job_of(size, work), random.Random(0)
    for n in range(1500):
        team.run(job)
        assert counts == [n + 1] * size
        # Pauses around the time that members look out: some jobs meet them awake, some asleep, some in between.
        time.sleep(draw.choice((0, 0, 1e-5, 1e-4, 2e-4, 3e-4, 5e-4)))


def test_an_interrupt_waits_for_the_work_and_then_comes() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    team, finished = Team(2), list[int]()
    nap = Job(ctypes.CDLL(None).usleep, [(100_000, 0, 0, 0)] * 2)  # compiled code, as real work is

    def keep_on() -> None:
        while True:
            team.run(nap)

    threading.Timer(0.02, _thread.interrupt_main).start()
    with pytest.raises(KeyboardInterrupt):
        keep_on()
    team.run(job_of(2, finished.append))
    assert sorted(finished) == [0, 1]
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("asleep", [False, True])
def test_threads_end_with_their_team(asleep: bool) -> None:
    before = set(threading.enumerate())
    team = Team(3)
    team.run(job_of(3, lambda _: None))
    started = set(threading.enumerate()) - before
    assert len(started) == 2
    if asleep:
        wait_until_asleep(team)
    del team
    gc.collect()
    for thread in started:
        thread.join(timeout=60)
        assert not thread.is_alive()


def wait_until_asleep(team: Team) -> None:
    """Wait until no member looks out for work any more."""
    deadline = time.monotonic() + 60
    assert team._crew is not None
    while not team._crew.asleep.all():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_idle_team_falls_asleep_and_wakes_for_the_next_job() -> None:
    team, seen = Team(4), list[int]()
    for _ in range(3):
        seen.clear()
        team.run(job_of(4, seen.append))
        assert sorted(seen) == [0, 1, 2, 3]
        wait_until_asleep(team)


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call others to short jobs however long these take with them."""
    monkeypatch.setattr("neocog.jit.team.LEAST_PAUSE", 0)
    monkeypatch.setattr("neocog.jit.team.MOST_PAUSE", 0)


def recording(size: int) -> tuple[Job, list[tuple[int, int]]]:
    """Make a job that notes (index, threads) of each that enters it."""
    seen: list[tuple[int, int]] = []

    def enter(_state: int, _work: int, _scratch: int, _control: int, index: int, threads: int) -> None:
        seen.append((index, threads))

    return Job(ENTRY(enter), [(0, 0, 0, 0)] * size), seen


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_shared_job_is_done_once_by_those_who_answer(size: int) -> None:
    team, draw = Team(size), random.Random(0)
    job, seen = recording(size)
    for n in range(1500):
        seen.clear()
        if draw.random() < 0.2:
            team.run(job)
            assert sorted(seen) == [(index, size) for index in range(size)]
        else:
            team.share(job)
            assert sorted(seen) == [(index, len(seen)) for index in range(len(seen))], n
        time.sleep(draw.choice((0, 0, 0, 0, 1e-5, 1e-4, 2e-4, 3e-4, 5e-4)))


@pytest.mark.usefixtures("unhurried")
def test_nobody_is_woken_for_a_shared_job_that_comes_alone() -> None:
    team = Team(3)
    team.gather()
    job, seen = recording(3)
    for _ in range(3):
        wait_until_asleep(team)
        seen.clear()
        team.share(job)
        assert seen == [(0, 1)]
        time.sleep(0.01)  # so that the next one does not follow soon
    assert team._crew is not None
    assert team._crew.asleep.all()


@pytest.mark.usefixtures("unhurried")
def test_shared_jobs_that_follow_each_other_wake_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neocog.jit.team.SOON", 60.0)  # however slow this machine is
    team = Team(2)
    team.gather()
    wait_until_asleep(team)
    job, seen = recording(2)
    deadline = time.monotonic() + 60
    while sorted(seen) != [(0, 2), (1, 2)]:
        assert time.monotonic() < deadline
        seen.clear()
        team.share(job)


def rest(pause: Pause) -> int:
    """Do a job alone, in two seconds each, until others are called again; return how often."""
    count = 0
    while pause.left:
        pause.note(2.0, 0, 0)
        count += 1
    return count


LENGTHS = [LEAST_PAUSE << n for n in range(7)] + [MOST_PAUSE] * 2


def test_a_job_that_others_are_stuck_in_is_done_alone_for_a_while() -> None:
    pause = Pause()
    assert rest(pause) == LEAST_PAUSE
    found = []
    for _ in LENGTHS:
        pause.note(2.0 + 0.9 * STUCK, 1, 1)  # a little slower, once: no matter
        assert not pause.left
        pause.note(2.0 + 1.1 * STUCK, 1, 1)
        found.append(rest(pause))
    assert found == LENGTHS
    for _ in range(300):
        pause.note(1.0, 1, 1)
    pause.note(2.0 + 1.1 * STUCK, 1, 1)
    assert rest(pause) == LEAST_PAUSE


@pytest.mark.parametrize("came", [0, 2])
def test_a_job_that_others_save_no_time_of_is_done_alone_for_a_while(came: int) -> None:
    pause = Pause()
    rest(pause)
    found = []
    for _ in LENGTHS:
        for _ in range(LEAST_PAUSE):
            assert not pause.left
            pause.note(2.0 + 0.5 * STUCK, 3, came)
        found.append(rest(pause))
    assert found == LENGTHS
    for _ in range(LEAST_PAUSE - 1):
        pause.note(2.0, 1, 0)
    pause.note(1.0, 3, 2)
    pause.note(2.0, 1, 0)
    assert not pause.left


def test_during_a_pause_nobody_is_called() -> None:
    team = Team(2)
    team.gather()
    job, seen = recording(2)
    for _ in range(LEAST_PAUSE):
        team.share(job)
    assert seen == [(0, 1)] * LEAST_PAUSE


def no_more_than(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Let so many threads start, and no more, as a system does that has no room for them."""
    start, started = threading.Thread.start, list[threading.Thread]()

    def refuse(thread: threading.Thread) -> None:
        if len(started) == count:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)


def test_fewer_threads_than_wanted_do_the_same_work(monkeypatch: pytest.MonkeyPatch) -> None:
    no_more_than(monkeypatch, 2)
    team, seen = Team(5), list[int]()
    with pytest.warns(NeocogWarning, match="3 of 5 threads could be started"):
        assert team.gather() == 3
    for _ in range(3):
        seen.clear()
        team.run(job_of(3, seen.append))
        assert sorted(seen) == [0, 1, 2]


def test_a_job_for_more_threads_than_can_be_started_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    no_more_than(monkeypatch, 0)
    with (
        pytest.warns(NeocogWarning, match="1 of 2 threads could be started"),
        pytest.raises(EngineError, match="1 of 2 threads could be started"),
    ):
        Team(2).run(job_of(2, print))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_gets_threads_of_its_own() -> None:
    team, seen = Team(2), list[int]()
    job = job_of(2, seen.append)
    team.run(job)
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        seen.clear()
        team.run(job)
        sys.stdout.flush()
        os._exit(0 if sorted(seen) == [0, 1] else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(
    "triple", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "riscv64-unknown-linux-gnu"]
)
def test_the_functions_compile_for_other_processors(triple: str) -> None:
    cpu = {"x": "x86-64", "a": "generic", "r": "generic-rv64"}[triple[0]]
    assert generate(team_text(make_target(cpu, {}, triple)), make_target(cpu, {}, triple))
