"""Code waits by what its system has: looked up in objects made for each, and run with Windows' names bound to POSIX."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
import threading
import time
from dataclasses import replace

import llvmlite.binding as llvm
import pytest

from neocog.emit.program import emit_program
from neocog.emit.team import FUNCTIONS, team_text
from neocog.jit import team
from neocog.jit.codegen import generate
from neocog.jit.compile import ENTRY, Library
from neocog.jit.host import host_target, make_target
from neocog.jit.pieces import split
from neocog.jit.team import Job, Team
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Flatten, Linear
from neocog.plan.planner import plan_program
from neocog.target.processor import Target, architecture_of

POSIX = {f"pthread_{name}" for name in ("mutex_init", "mutex_lock", "mutex_unlock", "cond_init", "cond_wait")}
POSIX |= {"usleep", "pthread_cond_signal"}
WINDOWS = {"Sleep", "SleepConditionVariableSRW", "InitializeSRWLock", "AcquireSRWLockExclusive"}
WINDOWS |= {"ReleaseSRWLockExclusive", "InitializeConditionVariable", "WakeConditionVariable"}
TRIPLES = {
    "x86_64-unknown-linux-gnu": POSIX,
    "aarch64-unknown-linux-gnu": POSIX,
    "x86_64-apple-darwin23.5.0": POSIX,
    "arm64-apple-darwin23.5.0": POSIX,
    "x86_64-pc-windows-msvc": WINDOWS,
    "aarch64-pc-windows-msvc": WINDOWS,
}


def target_of(triple: str) -> Target:
    return make_target("x86-64" if triple.startswith("x86") else "generic", {}, triple)


def names_in(image: bytes) -> set[str]:
    """Return the words among an object's names; Mach-O puts a _ before each."""
    return {word.decode().removeprefix("_") for word in re.findall(rb"[A-Za-z_][A-Za-z0-9_]{4,}", image)}


@pytest.mark.parametrize("triple", TRIPLES)
def test_a_team_waits_by_what_its_system_has(triple: str) -> None:
    target = target_of(triple)
    names = names_in(generate(team_text(target), target, thorough=True))
    assert names & (POSIX | WINDOWS) == TRIPLES[triple]


@pytest.mark.parametrize("triple", TRIPLES)
def test_a_barrier_waits_by_what_its_system_has(triple: str) -> None:
    target = target_of(triple)
    program = plan_program(trace(Sequential(Flatten(), Linear(3)), (4, 4, 1)), 2, target)
    names: set[str] = set()
    for piece in split(emit_program(program)):
        names |= names_in(generate(piece.text, target, thorough=piece.thorough))
    assert names & {"usleep", "Sleep"} == TRIPLES[triple] & {"usleep", "Sleep"}


STAND_INS = {
    "Sleep": "usleep",
    "AcquireSRWLockExclusive": "pthread_mutex_lock",
    "ReleaseSRWLockExclusive": "pthread_mutex_unlock",
    "SleepConditionVariableSRW": "pthread_cond_wait",
    "WakeConditionVariable": "pthread_cond_signal",
}
"""What Windows calls its functions, and those of POSIX that do the same with the same first arguments."""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX in place of Windows")
def test_a_team_works_by_what_windows_has(monkeypatch: pytest.MonkeyPatch) -> None:
    here = host_target()
    text = team_text(replace(here, triple=f"{architecture_of(here.triple)}-pc-windows-msvc"))
    image = generate(re.sub('triple = ".*"', f'triple = "{here.triple}"', text), here, thorough=True)
    system = ctypes.CDLL(None)
    initialise = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: None)  # zeros are what both begin with
    builder = llvm.JITLibraryBuilder().add_object_img(image)
    for name, stand_in in STAND_INS.items():
        builder.import_symbol(name, ctypes.cast(getattr(system, stand_in), ctypes.c_void_p).value)
    for name in ("InitializeSRWLock", "InitializeConditionVariable"):
        builder.import_symbol(name, ctypes.cast(initialise, ctypes.c_void_p).value)
    for name in FUNCTIONS:
        builder.export_symbol(name)
    linker = llvm.create_lljit_compiler()
    tracker = builder.link(linker, "windows")
    library = Library((linker, tracker, initialise), {name: ENTRY(tracker[name]) for name in FUNCTIONS})
    monkeypatch.setattr(team, "_compiled", lambda target, objects: library)
    crew, counts = Team(3), [0, 0, 0]

    def work(_state: int, _work: int, _scratch: int, _control: int, index: int, _threads: int) -> None:
        counts[index] += 1

    job = Job(ENTRY(work), [(0, 0, 0, 0)] * 3)
    for turn in range(60):
        crew.run(job)
        assert counts == [turn + 1] * 3
        time.sleep((0, 1e-4, 1e-3)[turn % 3])  # some jobs meet the others awake, some asleep
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("neocog-")]
    del crew
    gc.collect()
    for thread in threads:
        thread.join(timeout=60)
        assert not thread.is_alive()
