"""The object cache is only ever a help: damaged, full or forbidden, programs still run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from neocog.jit import cache as cache_module
from neocog.jit.cache import ObjectCache, default_folder
from neocog.jit.compile import _pack, _unpack


def test_an_object_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "deep" / "folder")
    assert cache.load("key") is None
    cache.store("key", b"object")
    assert cache.load("key") == b"object"


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d[:10], lambda d: b"", lambda d: d[:-1] + b"\x00"])
def test_a_damaged_entry_counts_as_missing(tmp_path: Path, damage: object) -> None:
    cache = ObjectCache(tmp_path)
    cache.store("key", b"object")
    path = tmp_path / "key.o"
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    assert cache.load("key") is None
    cache.store("key", b"object")
    assert cache.load("key") == b"object"


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    cache = ObjectCache(file / "cache")
    cache.store("key", b"object")
    assert cache.load("key") is None


def test_a_full_disk_leaves_no_half_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    cache = ObjectCache(tmp_path)
    monkeypatch.setattr(Path, "replace", full)
    cache.store("key", b"object")
    assert list(tmp_path.iterdir()) == []


def test_the_least_recently_used_entries_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MAX_BYTES", 3 * (32 + 100))
    cache = ObjectCache(tmp_path)
    for age, key in enumerate("abc"):
        cache.store(key, bytes(100))
        os.utime(tmp_path / f"{key}.o", (age, age))
    assert cache.load("a") is not None  # now the most recently used
    cache.store("d", bytes(100))
    assert sorted(path.stem for path in tmp_path.glob("*.o")) == ["a", "c", "d"]


def test_the_environment_names_the_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NEOCOG_CACHE", str(tmp_path / "here"))
    assert default_folder() == tmp_path / "here"


PREDICT = """
import numpy as np
from neocog.engines.native import NativeEngine
from neocog.model.graph import trace
from neocog.model.parameters import initial_parameters
from neocog.model.zoo import article
graph = trace(article(), (12, 12, 1))
predictor = NativeEngine().predictor(graph, initial_parameters(graph), 1)
print(predictor.logits(np.ones((1, 12, 12, 1), np.float32)).tobytes().hex())
"""


def test_two_processes_may_compile_at_once_and_a_damaged_object_is_rebuilt(tmp_path: Path) -> None:
    environment = {**os.environ, "NEOCOG_CACHE": str(tmp_path)}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", PREDICT], env=environment, stdout=subprocess.PIPE, text=True)

    both = [start(), start()]
    answers = {process.communicate()[0] for process in both}
    assert all(process.returncode == 0 for process in both)
    assert len(answers) == 1
    entries = list(tmp_path.glob("*.o"))
    assert entries
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[: entry.stat().st_size // 2])
    again = start()
    assert {again.communicate()[0]} == answers
    assert not list(tmp_path.glob("*.part"))


def test_a_tilde_in_the_environment_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEOCOG_CACHE", "~/cc")
    assert default_folder() == Path.home() / "cc"


def test_objects_that_belong_together_are_one_entry() -> None:
    images = [b"one", b"", b"three" * 1000]
    assert _unpack(_pack(images)) == images
