import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from neocog.errors import NeocogError
from neocog.model import writing
from neocog.model.writing import check_place, write_atomically


def test_new_content_replaces_old_content_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file"
    for content in (b"one", b"two"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_new_file_may_be_read_by_whom_the_user_allows(tmp_path):
    old = os.umask(0o027)
    try:
        write_atomically(tmp_path / "file", b"")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_a_symbolic_link_stays_one(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_named_pipe_is_written_to_and_stays_one(tmp_path) -> None:
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_atomically(pipe, b"x" * 100_000)  # more than a pipe holds
    reader.join(60)
    assert found == [b"x" * 100_000]
    assert pipe.is_fifo()


def test_a_full_device_says_so_and_stays_one() -> None:
    with pytest.raises(NeocogError, match="the disk is full"):
        write_atomically("/dev/full", b"content")
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_is_one_line_and_the_old_file_survives(tmp_path, monkeypatch, call):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (writing.Path, "replace")), full)
    with pytest.raises(NeocogError) as caught:
        write_atomically(path, b"new")
    assert str(caught.value) == f"{path} cannot be written: the disk is full (3 bytes are needed)"
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_places_that_cannot_be_written_are_named(tmp_path):
    with pytest.raises(NeocogError, match="there is no folder"):
        write_atomically(tmp_path / "missing" / "file", b"")
    with pytest.raises(NeocogError, match="it is a folder"):
        write_atomically(tmp_path, b"")
    (tmp_path / "link").symlink_to(tmp_path / "gone" / "file")
    for check in (check_place, lambda path: write_atomically(path, b"")):
        with pytest.raises(NeocogError, match=f"there is no folder {tmp_path / 'gone'}$"):
            check(tmp_path / "link")
        with pytest.raises(NeocogError, match=f"there is no folder {tmp_path / 'missing'}$"):
            check(tmp_path / "missing" / "file")
        with pytest.raises(NeocogError, match="it is a folder"):
            check(tmp_path)
    check_place(tmp_path / "file")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NeocogError, match="not a directory"):
        write_atomically(tmp_path / "file" / "inside", b"")
