"""Names of classes, files and folders reach a terminal as text: none can fake a line, turn it, or move the cursor."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from app.pictures import write_image
from neocog.app.cli.output import format_table
from neocog.text import printable

EVIL = "evil\x1b[2J\nerror: fake\u202ecba\x9b31m"


@pytest.fixture(scope="module")
def evil_photos(tmp_path_factory) -> Path:
    """Class folders, files, links and parts whose names act on terminals."""
    root = tmp_path_factory.mktemp("evil") / f"photos {EVIL}"
    for label, value in ((f"a {EVIL}", 200), (f"b {EVIL}", 40)):
        for number in range(12):
            write_image(root / label / f"{number} {EVIL}.png", value, seed=value + number)
    (root / f"a {EVIL}" / f"damaged {EVIL}.png").write_bytes(b"no image")
    (root / f"a {EVIL}" / f"notes {EVIL}.txt").write_text("no image")
    (root / f"empty {EVIL}").mkdir()
    (root / f"loose {EVIL}.png").write_bytes(b"no image")
    return root


def assert_harmless(text: str) -> None:
    acting = {c for c in text if printable(c) != c} - {"\n", "\t"}
    assert not acting, {unicodedata.name(c, hex(ord(c))) for c in acting}
    assert not [line for line in text.splitlines() if line.startswith("error: fake")]


def test_no_verb_lets_a_name_act_on_the_terminal(run, evil_photos, tmp_path) -> None:
    out = tmp_path / f"run {EVIL}"
    image = next((evil_photos / f"a {EVIL}").glob("0 *.png"))
    commands = [
        ("check", evil_photos),
        ("info", evil_photos),
        ("train", evil_photos, "--epochs", "2", "-b", "8", "-o", out),
        ("info", out),
        ("evaluate", out, evil_photos),
        ("evaluate", out, evil_photos, "--split", "all", "--json"),
        ("predict", out, image),
        ("predict", out, evil_photos, "--json"),
        ("predict", out, evil_photos),
        ("train", evil_photos, "-o", out),
        ("train", evil_photos / "missing", "--resume", out),
        ("train", "--resume", tmp_path / EVIL),
        ("evaluate", tmp_path / EVIL, evil_photos),
        ("predict", out, tmp_path / EVIL),
        ("predict", out, f"{tmp_path}/{EVIL}*"),
        ("explain", out, tmp_path / EVIL),
        (EVIL,),
        ("train", f"--{EVIL}"),
        ("train", f"{EVIL}=1"),
        ("train", evil_photos, "--engine", EVIL),
    ]
    for words in commands:
        done = run(*words)
        assert_harmless(done.out)
        assert_harmless(done.err)
        assert "evil" in done.out + done.err


def test_no_verb_writes_the_bytes_of_a_name_that_is_not_utf8(run, tmp_path) -> None:
    photos = tmp_path / "photos"
    for label, value in (("a", 200), ("b", 40)):
        for number in range(12):
            write_image(photos / label / os.fsdecode(b"%d\x9b2J.png" % number), value, seed=value + number)
    out = tmp_path / os.fsdecode(b"run\x9b2J")
    done = [run("train", photos, "--epochs", "2", "-b", "8", "-o", out)]
    damaged = photos / "a" / os.fsdecode(b"raw\x9b2J.png")
    damaged.write_bytes(b"no image")
    (photos / os.fsdecode(b"notes\x9b2J")).write_bytes(b"no image")
    done += [run("check", photos), run("info", out), run("evaluate", out, photos), run("predict", out, damaged)]
    done += [run("predict", out, tmp_path / os.fsdecode(b"missing\x9b2J"))]
    for shown in done:
        assert "\ufffd" not in shown.out + shown.err  # as what was captured would show a byte that is no UTF-8
        assert "\\x9b2J" in shown.out + shown.err


def test_a_table_keeps_its_lines_whatever_its_cells_hold() -> None:
    assert format_table([("a\nb", "c"), ("d", "\x1b[2Je")]) == "a\\nb  c\nd     \\x1b[2Je"
