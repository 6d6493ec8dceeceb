"""Processes of one machine: what they exchange goes through memory, and the end of one is noticed."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neocog.ranks import machine
from neocog.ranks.gather import gathered
from neocog.ranks.machine import MESSAGE, OneMachine, Watched, on_one_machine
from neocog.ranks.world import Alone, LostProcessError, SharingWorld
from thread_world import GatheringThreadWorld, ThreadWorld, in_threads

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="this system does not tell of a process's end")


def joined(world) -> OneMachine:
    found = on_one_machine(world, 600.0)
    assert isinstance(found, OneMachine)
    return found


@pytest.mark.parametrize("kind", [ThreadWorld, GatheringThreadWorld])
@pytest.mark.parametrize("size", [8, MESSAGE, MESSAGE + 8])
def test_all_hear_what_each_says_however_often(kind, size):
    def work(world):
        own = joined(world)
        return [gathered(own, np.full(size // 8, 10 * turn + own.rank)) for turn in range(5)]

    for heard in in_threads(3, work, kind):
        for turn, rows in enumerate(heard):
            assert rows.shape == (3, size // 8)
            assert (rows == np.array([[10 * turn + rank] for rank in range(3)])).all()


def test_memory_in_common_is_read_behind_a_barrier():
    def work(world):
        own = joined(world)
        assert isinstance(own, SharingWorld)
        common = own.common(own.size)
        common[own.rank] = own.rank + 1
        own.barrier()
        return common.tolist()

    assert in_threads(3, work) == [[1.0, 2.0, 3.0]] * 3


def test_other_calls_are_those_of_the_world_itself():
    def work(world):
        own, values = joined(world), np.full(3, world.rank + 1.0, np.float32)
        own.all_reduce(values)
        told = np.full(2, world.rank, np.uint8)
        own.broadcast(told, 1)
        return values.tolist(), told.tolist()

    assert in_threads(2, work) == [([3.0] * 3, [1, 1])] * 2


def test_processes_that_do_not_see_the_same_keep_their_world(monkeypatch):
    alone = Alone()
    assert on_one_machine(alone, 1.0) is alone
    monkeypatch.setattr(machine, "_place", iter("abab").__next__)
    assert not any(isinstance(world, OneMachine) for world in in_threads(2, lambda world: on_one_machine(world, 1.0)))
    monkeypatch.setattr(machine, "_place", lambda: "a")
    monkeypatch.setattr(machine, "_opened", lambda path, size, word: None)
    assert not any(isinstance(world, OneMachine) for world in in_threads(2, lambda world: on_one_machine(world, 1.0)))


def test_memory_of_others_is_not_taken_for_the_common_one():
    handle = os.memfd_create("neocog")
    os.ftruncate(handle, 64 + machine.WORD)
    os.pwrite(handle, b"w" * machine.WORD, 64)
    path = f"/proc/{os.getpid()}/fd/{handle}"
    assert machine._opened(path, 64, b"w" * machine.WORD) is not None
    assert machine._opened(path, 64, b"v" * machine.WORD) is None  # a copy of this machine has a file there, too
    assert machine._opened(path, 32, b"w" * machine.WORD) is None
    os.close(handle)


def test_ends_are_watched_without_leaving_files_open():
    before = len(list(Path("/proc/self/fd").iterdir()))
    watched = Watched([os.getpid()])
    assert not watched.ended()
    del watched
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def header(ranks: int) -> np.ndarray:
    return np.zeros(ranks * (machine.LINE + 2 * MESSAGE), np.uint8)


class Two:
    """The first of two processes, of which the other never comes."""

    rank, size = 0, 2


def test_the_end_of_a_process_is_noticed_by_those_who_wait():
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    watched = Watched([other.pid])
    other.kill()  # nobody waits for it, so that it stays a zombie
    with pytest.raises(LostProcessError, match="process 0 of 2 no longer hears") as caught:
        OneMachine(Two(), header(2), watched, 600.0).barrier()
    assert caught.value.details == ("cause: a process has ended",)
    other.communicate()


def test_who_is_late_is_given_up():
    with pytest.raises(LostProcessError) as caught:
        OneMachine(Two(), header(2), Watched([]), 0.05).barrier()
    assert "s late" in caught.value.details[0]
