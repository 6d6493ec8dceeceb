"""`neocog explain`: what it is told, what it prints, and how it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from app.pictures import write_photos
from neocog.app.page.files import page_file
from neocog.errors import NeocogError

LIMIT = 180.0  # seconds; compiling included


def page_is_built() -> bool:
    try:
        page_file("app.js")
    except NeocogError:
        return False
    return True


needs_page = pytest.mark.skipif(not page_is_built(), reason="the page is not built: npm ci && npm run build in web/")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "neocog explain needs MODEL"),
        (("nothing",), "there is no model nothing"),
        (("--lesson", "x.safetensors"), "--lesson has a network of its own"),
        (("--lesson", "--data", "digits"), "takes no --data"),
        (("--lesson", "--engine", "torch"), "takes no --engine"),
        (("--lesson", "--port", "70000"), "must be 65535 or less"),
    ],
)
def test_a_mistake_is_told_with_a_hint(run, words, message, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("explain", *words)
    assert done.code == 2
    assert message in done.err
    assert "hint:" in done.err


def test_images_that_are_none_are_told(run, trained_once, tmp_path) -> None:
    model = trained_once[0]
    assert "there is no image" in run("explain", model, tmp_path / "x.png").err
    assert "is a folder, not an image" in run("explain", model, tmp_path).err
    (tmp_path / "x.png").write_bytes(b"no image")
    done = run("explain", model, tmp_path / "x.png")
    assert (done.code, "not an image" in done.err) == (1, True)
    assert "nothing-here" in run("explain", model, "--data", "nothing-here").err


@needs_page
def test_a_saved_page_is_one_file_that_names_no_other(run, trained_once, tmp_path) -> None:
    model, photos = trained_once
    file = tmp_path / "page.html"
    done = run("explain", model, "--data", photos, "--save", file)
    assert done.code == 0, done.err
    assert done.out.startswith(str(file))
    page = file.read_text()
    assert not re.search(r'(?:src|href)="(?!data:)', page.split('id="neocog-answers"')[0])
    assert run("explain", model, "--save", tmp_path).code == 1


@needs_page
def test_it_serves_until_ctrl_c_and_ends_well(trained_once) -> None:
    """Run as a process of its own, since Ctrl-C is a signal."""
    words = [sys.executable, "-m", "neocog", "explain", str(trained_once[0]), "--no-browser"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    base, token = address.split("/?token=")
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", base)
    deadline = time.monotonic() + LIMIT
    while True:
        try:
            answer = httpx.get(f"{base}/ask/model", headers={"X-Neocog-Token": token}, timeout=LIMIT)
            break
        except httpx.ConnectError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert answer.status_code == 200
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=LIMIT)
    assert process.returncode == 0
    assert "stopped" in errors
    assert "Traceback" not in errors


@needs_page
def test_data_that_a_run_learnt_from_is_found_or_its_absence_told(trained, tmp_path) -> None:
    config = trained / "config.json"
    config.write_text(re.sub(r'"data": "[^"]*"', f'"data": "{tmp_path / "gone"}"', config.read_text()))
    from neocog.app.cli.explain import open_session

    session = open_session(Path(trained), None, None, "reference", None, quiet=False)
    assert session.gallery is None
    assert session.inputs == {}


@needs_page
def test_other_images_in_the_place_of_those_that_a_run_learnt_from_are_not_taken(trained, tmp_path, capsys) -> None:
    from neocog.app.cli.explain import open_session

    other = write_photos(tmp_path / "photos", first=700)
    config = trained / "config.json"
    config.write_text(re.sub(r'"data": "[^"]*"', f'"data": "{other}"', config.read_text()))
    assert open_session(Path(trained), None, None, "reference", None, quiet=False).gallery is None
    assert "now holds other images; name others with --data" in capsys.readouterr().err
    named = open_session(Path(trained), None, str(other), "reference", None, quiet=False).gallery
    assert named is not None
    assert len(named) == 24


@needs_page
def test_patterns_are_looked_for_in_images_that_the_network_did_not_learn_from(trained_once, tmp_path) -> None:
    from neocog.app.cli.explain import open_session

    folder, photos = trained_once
    copy = shutil.copytree(photos, tmp_path / "copy")
    held_out = sum(row.endswith(",test") for row in (folder / "split.csv").read_text().splitlines())
    for data in (None, str(photos), str(copy)):
        gallery = open_session(folder, None, data, "reference", None, quiet=True).gallery
        assert gallery is not None
        assert len(gallery) == held_out
