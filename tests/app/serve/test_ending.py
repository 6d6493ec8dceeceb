"""Ends, replacements and deaths while clients ask: nothing that was accepted is lost, or answered wrongly."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

import neocog as nc
from app.serve.conftest import LIMIT, NAMES, Served, network, picture
from app.serve.loads import Load


def until(true: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + LIMIT
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(process: int) -> list[int]:
    """Return the processes that a process has started."""
    return list(map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()))


def number(server: Served, name: str) -> float:
    """Return a number of /metrics, added up."""
    lines = httpx.get(f"{server.address}/metrics", timeout=LIMIT).text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_when_all_is_answered(start: Callable[..., object], ending: signal.Signals) -> None:
    with start("--workers", "2") as server:
        with Load(server.port, picture(1)) as load:
            until(lambda: sum(load.answers.values()) > 50)
            server.process.send_signal(ending)
            _, told = server.process.communicate(timeout=LIMIT)
        assert server.process.returncode == 0
        assert load.lost == []
        assert load.refused == load.clients  # then nobody listened
        assert {status for status, _, _ in load.answers} == {200}
        assert len(load.answers) == 1  # all the same, to the bit
        assert told.splitlines()[-1] == "stopped"
        assert "Traceback" not in told


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_model_that_is_replaced_is_taken_by_all_while_they_answer(
    start: Callable[..., object], tmp_path: Path
) -> None:
    with start("--workers", "2") as server:
        path = server.models[0]
        until(lambda: number(server, "neocog_process_started_total") == 2)
        old = httpx.post(server.address, content=picture(1), timeout=LIMIT)
        other = nc.Model(network(len(NAMES)), (12, 14, 3), class_names=[*reversed(NAMES)], seed=5)
        other.save(tmp_path / "new")
        want = [float(p) for p in sorted(other.predict_proba([picture(1)], batch_size=64)[0], reverse=True)]
        with Load(server.port, picture(1)) as load:
            until(lambda: sum(load.answers.values()) > 20)
            (tmp_path / "new").replace(path)
            until(lambda: number(server, "neocog_reloads_total") == 2)
            before = sum(load.answers.values())
            until(lambda: sum(load.answers.values()) > before + 50)
        assert load.lost == []
        new = httpx.post(server.address, content=picture(1), timeout=LIMIT)
        assert [entry["score"] for entry in new.json()] == want
        assert new.headers["x-model-version"] != old.headers["x-model-version"]
        # each answer is wholly of one of the two, and none of the old one's is left
        bodies = {old.headers["x-model-version"]: old.content, new.headers["x-model-version"]: new.content}
        assert {(version, body) for _, version, body in load.answers} == set(bodies.items())

        path.write_bytes(b"no model")
        until(lambda: number(server, "neocog_failed_reloads_total") == 2)
        assert httpx.post(server.address, content=picture(1), timeout=LIMIT).content == new.content


def test_who_asks_nothing_costs_no_processor_time_and_a_worker_that_dies_is_started_again(
    start: Callable[..., object],
) -> None:
    with start("--workers", "2") as server:
        until(lambda: number(server, "neocog_process_started_total") == 2)
        time.sleep(1.5)  # the look at connections after those of that question
        processes = [server.process.pid, *children(server.process.pid)]
        before = sum(map(_ticks, processes))
        time.sleep(2)
        assert sum(map(_ticks, processes)) - before <= 3  # hundredths of a second, each rounded up

        os.kill(processes[1], signal.SIGKILL)
        for _ in range(20):  # the other one answers meanwhile
            assert httpx.post(server.address, content=picture(1), timeout=LIMIT).status_code == 200
        until(lambda: number(server, "neocog_process_started_total") == 3)
        workers = children(server.process.pid)
        assert len(workers) == 2
        assert processes[1] not in workers

        server.process.kill()  # without a word to them
        server.process.wait()
        until(lambda: not any(map(_lives, workers)))


def _ticks(process: int) -> int:
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


def test_the_access_log_has_a_line_for_each_request(running: Served) -> None:
    for seed in range(3):
        httpx.post(f"{running.address}/models/pets?top_k=1", content=picture(seed), timeout=LIMIT)
    httpx.get(f"{running.address}/not-there", timeout=LIMIT)

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in running.log.read_text().splitlines()]

    until(lambda: any(line["path"] == "/not-there" for line in lines()))
    (last,) = (line for line in lines() if line["path"] == "/not-there")
    assert (last["method"], last["status"], last["client"]) == ("GET", 404, "127.0.0.1")
    until(lambda: sum(line["path"] == "/models/pets" and line["status"] == 200 for line in lines()) >= 3)
    assert all(line["ms"] > 0 for line in lines())
