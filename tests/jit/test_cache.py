"""The object cache is only ever a help: damaged, full or forbidden, programs still run."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from neocog.errors import NeocogWarning
from neocog.jit import cache as cache_module
from neocog.jit.cache import ObjectCache


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


def test_without_a_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "cache_folder", lambda: None)
    cache = ObjectCache()
    cache.store("key", b"object")
    assert cache.load("key") is None


def test_an_entry_counts_under_its_own_key_alone(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path)
    cache.store("key", b"object")
    (tmp_path / "key.o").rename(tmp_path / "other.o")
    assert cache.load("other") is None


@pytest.mark.parametrize("kind", ["fifo", "folder", "link to a device", "circle"])
def test_what_is_no_file_counts_as_missing(tmp_path: Path, kind: str) -> None:
    path, cache = tmp_path / "key.o", ObjectCache(tmp_path)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "link to a device" else path)
    assert cache.load("key") is None
    cache.store("key", b"object")
    assert cache.load("key") == (None if kind == "folder" else b"object")


def test_an_entry_larger_than_any_program_is_neither_read_nor_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ObjectCache(tmp_path)
    cache.store("key", bytes(100))
    monkeypatch.setattr(cache_module, "MAX_ENTRY_BYTES", 100)
    assert cache.load("key") is None
    cache.store("other", bytes(100))
    assert not (tmp_path / "other.o").exists()


def test_folder_and_entries_are_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        ObjectCache(tmp_path / "deep" / "folder").store("key", b"object")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    assert modes == {"deep": 0o700, "folder": 0o700, "key.o": 0o600}


def test_a_folder_that_others_may_write_to_is_not_used_and_that_is_told(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path / "cache")
    cache.store("key", b"object")
    cache.folder.chmod(0o777)
    with pytest.warns(NeocogWarning, match=r"cache may be written by others(.|\n)*hint: .*NEOCOG_CACHE"):
        assert cache.load("key") is None
    with pytest.warns(NeocogWarning):
        cache.store("new", b"object")
    assert [path.name for path in cache.folder.iterdir()] == ["key.o"]
    cache.folder.chmod(0o755)  # to read is no harm
    assert cache.load("key") == b"object"


@pytest.mark.parametrize("mode", [0o602, 0o666])
def test_an_entry_that_others_may_write_to_is_not_loaded(tmp_path: Path, mode: int) -> None:
    cache = ObjectCache(tmp_path)
    cache.store("key", b"object")
    (tmp_path / "key.o").chmod(mode)
    assert cache.load("key") is None


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_what_belongs_to_another_user_is_not_loaded(tmp_path: Path) -> None:
    cache = ObjectCache(tmp_path)
    cache.store("key", b"object")
    os.chown(tmp_path / "key.o", 54321, -1)
    assert cache.load("key") is None
    os.chown(tmp_path / "key.o", 0, -1)
    assert cache.load("key") == b"object"
    os.chown(tmp_path, 54321, -1)
    with pytest.warns(NeocogWarning, match="belongs to somebody else"):
        assert cache.load("key") is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_what_killed_processes_left_is_cleared_away_at_the_first_use(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait(60)
    for name in (
        f"{dead.pid}-abc.part",
        f"{os.getpid()}-abc.part",
        f"{os.getpid()}-old.part",
        "tmpold.part",
        "tmp.part",
    ):
        (tmp_path / name).write_bytes(b"half")
        if "old" in name:
            os.utime(tmp_path / name, (1e9, 1e9))
    cache = ObjectCache(tmp_path)
    assert cache.load("key") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"{os.getpid()}-abc.part", "tmp.part"])
    (tmp_path / f"{dead.pid}-new.part").write_bytes(b"half")
    assert cache.load("key") is None
    assert len(list(tmp_path.iterdir())) == 3  # looked for once in a process


def test_a_process_killed_while_it_writes_leaves_nothing_behind_after_the_next_start(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from neocog.jit.cache import ObjectCache\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "ObjectCache(Path(sys.argv[1])).store('key', b'object')"
    )
    for _ in range(3):
        killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=60)
        assert killed.returncode == -9
        assert len(list(tmp_path.iterdir())) == 1  # its own; the one before is gone
    assert ObjectCache(tmp_path).load("key") is None
    assert list(tmp_path.iterdir()) == []


PREDICT = """
import numpy as np
from neocog.engines.native import NativeEngine
from neocog.nn.graph import trace
from neocog.nn.parameters import initial_parameters
from neocog.nn.zoo import article
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


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make folders of another user")
def test_no_folder_is_made_where_it_would_not_be_trusted(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    os.chown(home, 12345, 12345)  # as of a user who calls this as root
    with pytest.warns(NeocogWarning, match="home belongs to somebody else"):
        ObjectCache(home / ".cache" / "neocog").store("key", b"body")
    assert list(home.iterdir()) == []


def test_a_folder_is_made_in_one_like_tmp(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    tmp_path.chmod(0o1777)
    ObjectCache(tmp_path / "mine").store("key", b"object")
    assert ObjectCache(tmp_path / "mine").load("key") == b"object"
    assert not recwarn.list
