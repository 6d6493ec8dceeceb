"""neocog predict on stdin, in pipes and on terminals."""

from __future__ import annotations

import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

NEOCOG = [sys.executable, "-c", "from neocog.app.cli.main import main; main()"]


def test_an_image_can_come_on_stdin(trained_once, images):
    done = subprocess.run(
        [*NEOCOG, "predict", trained_once[0], "-"], input=(images / "a.png").read_bytes(), capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(b"\t")[:2] == [b"-", b"dark"]


def test_a_list_of_paths_can_come_on_stdin(trained_once, images):
    paths = f"{images}/b.png\n\n{images}/nowhere.png\n{images}/a.png\n"
    done = subprocess.run(
        [*NEOCOG, "predict", trained_once[0], "-", "--list"], input=paths, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[1] for line in done.stdout.splitlines()] == ["bright", "dark"]
    assert "nowhere.png: there is no such file" in done.stderr


def test_an_empty_stdin_is_told(trained_once):
    for flags in ([], ["--list"]):
        done = subprocess.run([*NEOCOG, "predict", trained_once[0], "-", *flags], input=b"", capture_output=True)
        assert done.returncode == 1
        assert b"empty" in done.stderr
        assert b"Traceback" not in done.stderr


@pytest.fixture
def compiled(trained_once, images):
    """Have the program compiled already: on a busy machine that may take so long that it is told on stderr."""
    subprocess.run([*NEOCOG, "predict", trained_once[0], images], capture_output=True, check=True)


@pytest.mark.usefixtures("compiled")
def test_a_reader_that_has_enough_is_no_error(trained_once, images):
    read, write = os.pipe()
    os.close(read)  # as head does, only sooner
    done = subprocess.run([*NEOCOG, "predict", trained_once[0], images, "-q"], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_full_disk_behind_stdout_is_one_message(trained_once, images):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([*NEOCOG, "predict", trained_once[0], images, "-q"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[0] == "error: cannot continue: the disk is full"
    assert b"Exception ignored" not in done.stderr


def test_a_file_name_of_any_bytes_comes_out_as_it_is(trained_once, images):
    odd = os.fsencode(images) + b"/caf\xe9.png"
    Path(os.fsdecode(odd)).write_bytes((images / "a.png").read_bytes())
    for environment in ({}, {"PYTHONIOENCODING": "ascii"}):
        done = subprocess.run(
            [*NEOCOG, "predict", trained_once[0], odd], capture_output=True, env={**os.environ, **environment}
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(odd + b"\tdark\t")


def on_a_terminal(*words) -> bytes:
    """Return what a command writes on a terminal, with the line ends of one."""
    seen, terminal = pty.openpty()
    try:
        done = subprocess.run([*NEOCOG, *words], stdout=terminal, stderr=subprocess.PIPE, timeout=300)
    finally:
        os.close(terminal)
    assert done.returncode == 0, done.stderr
    with os.fdopen(seen, "rb", buffering=0) as file:
        return file.read(1 << 16)  # a few lines, which the terminal holds


ODD = b"a\x1b[2J\n\x9b.png"
"""A name with a command for terminals, a line end, and a byte that is no UTF-8 and begins a command too."""


@pytest.mark.parametrize("form", [[], ["--csv"], ["--json"]])
def test_a_terminal_gets_no_control_character_in_any_form(trained_once, images, form):
    odd = os.fsencode(images) + b"/" + ODD
    Path(os.fsdecode(odd)).write_bytes((images / "a.png").read_bytes())
    out = on_a_terminal("predict", trained_once[0], odd, *form)
    assert not [byte for byte in out if (byte < 0x20 and byte not in b"\r\n\t") or byte >= 0x7F]
    if form != ["--json"]:
        assert b"/a\\x1b[2J\\n\\x9b.png" in out
        assert len(out.splitlines()) == 1 + len(form)


def test_programs_get_csv_as_its_standard_says(trained_once, images):
    odd = os.fsencode(images) + b"/" + ODD
    Path(os.fsdecode(odd)).write_bytes((images / "a.png").read_bytes())
    done = subprocess.run([*NEOCOG, "predict", trained_once[0], odd, "--csv"], capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b'path,class,probability\n"' + odd + b'",dark,')


@pytest.mark.usefixtures("compiled")
def test_a_closed_stdout_is_no_crash(trained_once, images):
    words = shlex.join([*NEOCOG, "predict", str(trained_once[0]), str(images)])
    done = subprocess.run(["sh", "-c", f"{words} >&-"], stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_listed_path_that_no_file_can_have_is_an_unreadable_image(trained_once, images):
    paths = f"{images}/a.png\n{images}/b\0.png\n"
    done = subprocess.run(
        [*NEOCOG, "predict", trained_once[0], "--list", "-"], input=paths, capture_output=True, text=True
    )
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert "no file can have this name" in done.stderr
