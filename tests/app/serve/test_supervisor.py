"""The process that accepts connections, and what it tells those that answer."""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from app.serve.conftest import LIMIT, picture
from app.serve.test_ending import until
from neocog.app.serve import channel as messages
from neocog.app.serve.counters import Counters
from neocog.app.serve.settings import Settings
from neocog.app.serve.supervisor import Supervisor
from neocog.app.serve.worker import Worker
from neocog.system import allow_files

COMPILING = """
import time
from types import SimpleNamespace
from neocog.app.serve.settings import Settings
from neocog.app.serve.supervisor import Supervisor

def warm_up():
    print("compiling", flush=True)
    time.sleep(1000)

model = SimpleNamespace(name="slow", identity=None, location=SimpleNamespace(identity=lambda: None), warm_up=warm_up)
Supervisor([model], Settings(port=0, drain=1000)).run(lambda: print("started", flush=True))
print("ended", flush=True)
"""


def test_a_signal_ends_it_while_the_first_worker_still_compiles() -> None:
    with subprocess.Popen([sys.executable, "-c", COMPILING], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "compiling\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=LIMIT)[0] == "ended\n"  # and nobody else has this pipe any more
        assert process.returncode == 0


def test_a_worker_that_never_gets_ready_is_started_again_less_and_less_often(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor([], Settings(port=0))
    member = supervisor._members[0]
    monkeypatch.setattr(os, "waitpid", lambda process, flags: None)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    with supervisor._selector, supervisor._listener:
        pauses = []
        for ready in (True, False, False, False, False, False, False, False, True, False):
            ours, theirs = socket.socketpair()
            with theirs:
                member.channel, member.process, member.again = ours, 1 << 22, 1.0
                supervisor._selector.register(ours, selectors.EVENT_READ)
                if ready:
                    messages.send(theirs, messages.READY)
                    supervisor._hear(member)
                supervisor._ended(member)
            pauses.append(member.again - 100.0)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 1, 2]
    assert "worker 0 ended; it is started again in 8 s" in capsys.readouterr().err


def test_whatever_a_new_file_brings_about_the_supervisor_hears_that_it_was_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(threads: int) -> Any:
        raise AttributeError("a graph of another kind")

    location = SimpleNamespace(identity=lambda: (5, 6, 7, 8), open=broken)
    model = SimpleNamespace(name="one", identity=(1, 2, 3, 4), location=location)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        counters = Counters(1, ["one"])
        worker = Worker([model], Settings(), counters, 0, theirs)  # type: ignore[list-item]
        worker._batchers = {"one": SimpleNamespace(model=model)}  # type: ignore[dict-item]
        worker._loop = SimpleNamespace(call_soon_threadsafe=lambda told, *words: told(*words))  # type: ignore[assignment]
        worker._load()
        assert ours.recv(10) == b"p"
    assert counters.total("one/failed_reloads") == 1
    assert "the old model answers: AttributeError: a graph of another kind" in capsys.readouterr().err


def test_a_log_that_was_moved_away_is_begun_anew(start: Callable[..., Any]) -> None:
    with start("--workers", "1") as server:
        httpx.post(f"{server.address}/?top_k=1", content=picture(1), timeout=LIMIT)
        old = server.log.replace(server.log.with_suffix(".1"))
        server.process.send_signal(signal.SIGHUP)
        until(server.log.exists)
        httpx.get(f"{server.address}/v2", timeout=LIMIT)
        until(server.log.read_text)
        paths = [[json.loads(line)["path"] for line in log.read_text().splitlines()] for log in (old, server.log)]
        assert paths == [["/"], ["/v2"]]


@pytest.mark.parametrize(
    ("soft", "hard", "now"), [(1024, 4096, 2000), (1024, 1500, 1500), (4096, 8192, None), (256, -1, 2000)]
)
def test_it_may_open_as_many_connections_as_it_says(
    soft: int, hard: int, now: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda what: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda what, limits: set_to.append(limits))
    allow_files(2000)
    assert set_to == ([] if now is None else [(now, hard)])
