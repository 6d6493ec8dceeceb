"""The command line, and what children are told."""

from __future__ import annotations

import pytest

from benchmarks.machine import choose_processors, describe, usable
from benchmarks.options import MEASUREMENTS, QUICK_ROUNDS, ROUNDS, parse
from benchmarks.process import TUNED, JobError, environment, run


def test_names_may_be_separated_by_commas_or_spaces() -> None:
    options = parse(["--networks", "vgg,article", "--only", "memory", "training", "--threads", "1"])
    assert options.networks == ("article", "vgg")
    assert options.only == ("training", "memory")
    assert options.rounds == ROUNDS


def test_everything_is_measured_unless_told_otherwise() -> None:
    options = parse(["--quick"])
    assert options.only == MEASUREMENTS
    assert options.rounds == QUICK_ROUNDS
    assert set(options.threads) == {1, usable()}


@pytest.mark.parametrize("arguments", [["--only", "nothing"], ["--networks", "alexnet"], ["--rounds", "1"]])
def test_what_is_unknown_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)


def test_more_threads_than_processors_are_refused() -> None:
    with pytest.raises(SystemExit, match="this process may use 1 to"):
        parse(["--threads", str(usable() + 1)])


def test_as_many_processors_as_threads() -> None:
    assert len(choose_processors(usable())) == usable()
    assert len(choose_processors(1)) == 1


def test_a_childs_environment_holds_nothing_left_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEOCOG_CPU", "sse2")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    got = environment(2, TUNED)
    assert "NEOCOG_CPU" not in got
    assert got["OMP_NUM_THREADS"] == "2"
    assert got.items() >= TUNED.items()


def test_a_job_that_fails_says_why() -> None:
    with pytest.raises(JobError, match="KeyError"):
        run("speed", {"network": "alexnet", "batch": None, "threads": 1}, 1)


def test_a_machine_has_a_date_and_a_processor() -> None:
    assert {"date", "processor", "python", "numpy"} <= set(describe())
