"""Two versions of neocog take turns; here both are the present one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks import before
from benchmarks.before import Job, Version, measure, unpack
from benchmarks.machine import ROOT
from benchmarks.networks import NETWORKS
from benchmarks.options import Options, parse
from benchmarks.process import JobError
from benchmarks.sides import make_task


def test_without_a_commit_nothing_is_compared() -> None:
    assert list(measure(Options())) == []
    assert parse(["--before", "abc", "--threads", "1"]).before == "abc"


def test_an_unknown_commit_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="git knows no commit 'no-such-commit'"):
        unpack("no-such-commit", tmp_path)


def test_the_files_of_a_commit_are_unpacked(tmp_path: Path) -> None:
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("no git repository")
    unpack("HEAD", tmp_path)
    assert (tmp_path / "src" / "neocog" / "__init__.py").exists()


def test_a_version_answers_with_given_parameters_and_takes_turns(tmp_path: Path) -> None:
    job = Job("article", "inference", 2, 1)
    parameters = {name: 0 * value for name, value in make_task(NETWORKS["article"], 1, 2).parameters.items()}
    np.savez(tmp_path / "zeros.npz", **parameters)
    version = Version(ROOT, job, str(tmp_path / "zeros.npz"))
    try:
        assert np.array_equal(version.results, np.zeros((5, 2, 10)))
        assert version.turn() > 0
    finally:
        version.close()


def test_a_row_names_both_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(before, "unpack", lambda commit, folder: folder.symlink_to(ROOT))
    rows = list(measure(Options(("article",), (1,), 2, before="abc")))
    assert [row.case for row in rows] == [
        "article, batch 64, training",
        "article, batch 64, prediction",
        "article, batch 1, prediction",
    ]
    assert all(list(row.figures) == ["neocog", "abc"] for row in rows)
    assert all(row.ratio is not None for row in rows)


def test_both_versions_keep_to_narrower_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    class Noted(Version):
        def __init__(self, folder: Path, job: Job, parameters: str) -> None:
            super().__init__(folder, job, parameters)
            seen.append(Path(f"/proc/{self._process.pid}/environ").read_bytes().split(b"\0"))

    monkeypatch.setenv("NEOCOG_CPU", "sse2")
    monkeypatch.setattr(before, "Version", Noted)
    monkeypatch.setattr(before, "unpack", lambda commit, folder: folder.symlink_to(ROOT))
    row = next(measure(Options(("article",), (1,), 2, before="abc")))
    assert row.measurement == "against abc (NEOCOG_CPU=sse2)"
    assert [b"NEOCOG_CPU=sse2" in names for names in seen] == [True, True]


def test_a_network_that_a_version_lacks_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(before, "unpack", lambda commit, folder: folder.mkdir())
    (row, *_) = measure(Options(("article",), (1,), 2, before="abc"))
    assert not row.figures
    assert "ModuleNotFoundError" in row.skipped["abc"]
