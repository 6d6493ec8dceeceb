"""Only regular files are read, and no more of them than may be; whatever else lies there is told at once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from neocog.reading import NotAFileError, TooLargeError, expanded, open_file, read_file, read_text


def test_a_file_is_read_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_file(tmp_path / "link", 7) == b"content"
    with open_file(tmp_path / "link") as file:
        assert file.read(3) == b"con"


def test_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(NotAFileError, match="it is a fifo, not a file"):
        open_file(tmp_path / "fifo")


def test_a_device_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "zeros").symlink_to("/dev/zero")
    with pytest.raises(NotAFileError, match="it is a device, not a file"):
        open_file(tmp_path / "zeros")


def test_a_socket_is_no_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match=r"socket|No such device"):
            open_file(tmp_path / "socket")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        open_file(tmp_path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(TooLargeError, match="it holds 3,221,225,472 bytes, at most 1,000 are read"):
        read_file(tmp_path / "sparse", 1000)


def test_handles_are_closed_whatever_lies_there(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a folder of the system
    for path in (tmp_path / "fifo", tmp_path, Path("/dev/zero"), tmp_path / "missing"):
        for _ in range(3):
            with pytest.raises(OSError):
                open_file(path)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_text_loses_its_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfh\xc3\xb6r")
    assert read_text(tmp_path / "file", 100) == "hör"


def test_a_tilde_is_the_home_unless_a_file_has_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/of/somebody")
    monkeypatch.chdir(tmp_path)
    assert expanded("~/photos") == Path("/home/of/somebody/photos")
    (tmp_path / "~photos").mkdir()
    assert expanded("~photos") == Path("~photos")
    assert expanded("~nosuchuser/photos") == Path("~nosuchuser/photos")
    assert expanded("a/~b") == Path("a/~b")
