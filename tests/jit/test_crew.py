"""Helpers are only ever a help: with them, without them, or with broken ones, the same objects come out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neocog.emit.program import emit_program
from neocog.errors import EngineError
from neocog.jit import crew, pieces
from neocog.jit.crew import compile_pieces, helpers_worth
from neocog.jit.host import host_target
from neocog.jit.pieces import Piece, split
from neocog.nn.graph import trace
from neocog.nn.zoo import article
from neocog.plan.planner import plan_program


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[Piece]:
    """Write a small program down, and make helpers worth their while."""
    monkeypatch.setattr(pieces, "FULL", 1)
    monkeypatch.setattr(crew, "WORTH_A_HELPER", 1)
    monkeypatch.setattr(crew, "available_threads", lambda: 2)
    return split(emit_program(plan_program(trace(article(), (12, 12, 1)), 1, host_target())))


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Collect the processes that are started; all must have ended, and been waited for, in the end."""
    processes: list[subprocess.Popen[bytes]] = []
    start = crew._start

    def collect() -> subprocess.Popen[bytes]:
        processes.append(start())
        return processes[-1]

    monkeypatch.setattr(crew, "_start", collect)
    yield processes
    assert all(process.returncode is not None for process in processes)
    assert not [thread for thread in threading.enumerate() if thread.name == "neocog-compile"]


def alone(parts: list[Piece]) -> list[bytes]:
    return [crew.generate(part.text, host_target(), thorough=part.thorough) for part in parts]


def test_a_helper_compiles_the_same_objects(parts, started, monkeypatch) -> None:
    want, own, helping = alone(parts), [], threading.Event()
    generate, read_frame = crew.generate, crew.read_frame

    def wait_for_help(text, target, *, thorough):
        helping.wait(60)  # or this thread would be done before a process has started
        own.append(text)
        return generate(text, target, thorough=thorough)

    def tell(stream):
        body = read_frame(stream)
        helping.set()
        return body

    monkeypatch.setattr(crew, "generate", wait_for_help)
    monkeypatch.setattr(crew, "read_frame", tell)
    assert compile_pieces(parts, host_target()) == want
    assert len(started) == 1
    assert 0 < len(own) < len(parts)


def test_without_a_process_everything_is_compiled_here(parts, monkeypatch) -> None:
    def refuse() -> None:
        raise OSError("no processes left")

    monkeypatch.setattr(crew, "_start", refuse)
    assert compile_pieces(parts, host_target()) == alone(parts)


@pytest.mark.parametrize("body", [None, b""])
def test_what_a_helper_does_not_deliver_is_compiled_here(parts, started, monkeypatch, body) -> None:
    monkeypatch.setattr(crew, "read_frame", lambda _: body)
    assert compile_pieces(parts, host_target()) == alone(parts)


def test_a_helper_that_never_answers_is_given_up(parts, monkeypatch, started) -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    monkeypatch.setattr(crew, "PATIENCE", 0.5)
    monkeypatch.setattr(
        crew,
        "_start",
        lambda: started.append(subprocess.Popen(sleeper, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) or started[-1],
    )
    assert compile_pieces(parts, host_target()) == alone(parts)


def test_an_interrupt_ends_the_helpers(parts, started, monkeypatch) -> None:
    def interrupt(*_: object, **__: object) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(crew, "generate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        compile_pieces(parts, host_target())


def test_what_llvm_refuses_is_an_error_here_too(parts, started) -> None:
    with pytest.raises(EngineError, match="LLVM could not compile"):
        compile_pieces([*parts, Piece(("bad",), "define nonsense", False)], host_target())


def test_every_piece_is_told_and_the_end(parts) -> None:
    told: list[tuple[str, int, int]] = []
    compile_pieces(parts, host_target(), lambda *moment: told.append(moment))
    assert {name for name, _, _ in told} == {"", *(part.functions[0] for part in parts)}
    assert told[-1] == ("", len(parts), len(parts))
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_little_work_gets_no_helper_and_neither_does_a_program_with_python_inside(parts, monkeypatch) -> None:
    assert helpers_worth(parts) == 1
    monkeypatch.setattr(crew.sys, "executable", "/opt/app/photos")
    assert helpers_worth(parts) == 0
    monkeypatch.undo()
    assert helpers_worth([Piece(("f",), "short", True)]) == 0


SCRIPT = """
print("main runs")
from neocog.engines.native import NativeEngine
from neocog.jit import crew
from neocog.nn.graph import trace
from neocog.nn.parameters import initial_parameters
from neocog.nn.zoo import article
import numpy as np
crew.WORTH_A_HELPER = 10_000
crew.available_threads = lambda: 3
graph = trace(article(), (12, 12, 1))
NativeEngine().predictor(graph, initial_parameters(graph), 1).logits(np.ones((1, 12, 12, 1), np.float32))
"""


def test_helpers_run_nothing_of_the_callers_program(tmp_path: Path) -> None:
    """Neither a script without a main guard nor modules of the current folder that shadow others."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    elsewhere = tmp_path / "folder"
    elsewhere.mkdir()
    (elsewhere / "json.py").write_text("print('shadowed')")
    environment = {**os.environ, "NEOCOG_CACHE": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = os.pathsep.join(str(Path(path).resolve()) for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, script], env=environment, capture_output=True, text=True, cwd=elsewhere, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "main runs\n", "")


def test_a_listener_that_raises_beside_a_helper_does_not_keep_compiling_from_ending(parts, started) -> None:
    want, main = alone(parts), threading.current_thread()

    def listen(_function: str, _done: int, _total: int) -> None:
        if threading.current_thread() is not main:
            raise BrokenPipeError

    assert compile_pieces(parts, host_target(), listen) == want


def test_what_a_listener_raises_here_reaches_the_caller(parts, started) -> None:
    def listen(_function: str, _done: int, _total: int) -> None:
        if threading.current_thread() is main:
            raise KeyError("listener")

    main = threading.current_thread()
    with pytest.raises(KeyError, match="listener"):
        compile_pieces(parts, host_target(), listen)


ENDLESS = """
import os
from neocog.jit import crew, pieces
from neocog.emit.program import emit_program
from neocog.jit.host import host_target
from neocog.nn.graph import trace
from neocog.nn.zoo import article
from neocog.plan.planner import plan_program
crew.WORTH_A_HELPER = pieces.FULL = 1
crew.available_threads = lambda: 3
start = crew._start
def told():
    process = start()
    os.write(1, b"%d\\n" % process.pid)  # at once, since several threads tell
    return process
crew._start = told
parts = pieces.split(emit_program(plan_program(trace(article(), (12, 12, 1)), 1, host_target())))
while True:
    crew.compile_pieces(parts, host_target())
"""


def gone(number: int) -> bool:
    """Whether a process has ended; one that nobody waited for counts too, since another has to do that."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{number}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_helpers_end_with_a_caller_that_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "NEOCOG_CACHE": str(tmp_path)}
    caller = subprocess.Popen([sys.executable, "-c", ENDLESS], env=environment, stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    try:
        helpers = [int(caller.stdout.readline()) for _ in range(4)]  # two of a first round, and two of the next
    finally:
        caller.kill()
    helpers += [int(line) for line in caller.communicate(timeout=60)[0].split()]
    deadline = time.monotonic() + 60
    while not all(map(gone, helpers)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


CALLER = """
import json, os, subprocess, sys, time
from dataclasses import asdict
from neocog.jit.host import host_target
from neocog.jit.worker import write_frame
program = '''import os, sys, time
from neocog.jit import codegen, worker
def generate(*given, **named):
    print(os.getpid(), file=sys.stderr, flush=True)
    time.sleep(600)
codegen.generate = generate
worker.main()'''
started = [*sys.argv[1:], sys.executable, "-c", program, str(os.getpid())]
process = subprocess.Popen(started, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stdout)
write_frame(process.stdin, json.dumps(asdict(host_target())).encode())
write_frame(process.stdin, b"0")
process.wait(600)
"""


LAUNCHER = ("sh", "-c", '"$@"; true', "sh")  # it becomes no other program, and so is the parent of what it starts


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
@pytest.mark.parametrize("launcher", [(), LAUNCHER], ids=["itself", "launched"])
def test_a_helper_at_work_ends_with_a_caller_that_is_killed(launcher: tuple[str, ...]) -> None:
    caller = subprocess.Popen([sys.executable, "-c", CALLER, *launcher], stdout=subprocess.PIPE, text=True)
    assert caller.stdout is not None
    helper = int(caller.stdout.readline())
    assert not gone(helper)
    caller.kill()
    caller.wait()
    deadline = time.monotonic() + 60
    while not gone(helper):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_keep_helpers_alive(parts, started, monkeypatch) -> None:
    """It would hold their stdin open, at whose end they end."""
    children: list[tuple[int, int]] = []
    read_frame = crew.read_frame

    def fork_once(stream):
        if not children:
            ready, release = os.pipe()
            child = os.fork()
            if not child:
                os.close(release)
                pipes = [pipe for process in started for pipe in (process.stdin, process.stdout)]
                os._exit(0 if pipes and all(pipe.raw.closed for pipe in pipes) else 1)
            os.close(ready)
            os.close(release)
            children.append((child, os.waitpid(child, 0)[1]))
        return read_frame(stream)

    monkeypatch.setattr(crew, "read_frame", fork_once)
    want = alone(parts)
    assert compile_pieces(parts, host_target()) == want
    assert [code for _, code in children] in ([0], [])  # none where this thread was done before a helper answered
