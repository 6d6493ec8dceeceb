"""Files that are named to write: an empty one and neocog's own are replaced, any other is left as it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from neocog.app.cli.errors import CommandLineError
from neocog.app.cli.replacing import check_replaces, check_replaces_model
from neocog.app.page.files import MARK, one_file
from neocog.errors import NeocogError

VERBS = [
    (("quantise", "MODEL", "DATA", "-o", "FILE"), "is no model file of neocog"),
    (("calibrate", "MODEL", "DATA", "-o", "FILE"), "is no model file of neocog"),
    (("explain", "MODEL", "--save", "FILE"), "was not written by neocog"),
    (("report", "MODEL", "-o", "FILE"), "was not written by neocog"),
    (("export", "MODEL", "--to", "html", "-o", "FILE"), "was not written by an export"),
]


@pytest.mark.parametrize(("words", "told"), VERBS)
def test_files_of_others_are_left_and_folders_are_looked_for_first(run, trained_once, page, tmp_path, words, told):
    path = tmp_path / "file"
    places = {"MODEL": trained_once[0], "DATA": trained_once[1], "FILE": path}
    path.write_text("mine")
    done = run(*(places.get(word, word) for word in words))
    assert done.code == 2
    assert f"{path} is there already, and {told}" in done.err
    assert f"hint: name another file with --{'save' if words[0] == 'explain' else 'output'}" in done.err
    assert path.read_text() == "mine"
    missing = tmp_path / "none" / "file"
    places["FILE"] = missing
    done = run(*(places.get(word, word) for word in words))
    assert done.code == 1
    assert f"{missing} cannot be written: there is no folder {missing.parent}" in done.err


def test_what_neocog_wrote_and_what_is_empty_is_replaced(trained_once, tmp_path):
    path = tmp_path / "file"
    for check in (check_replaces_model, lambda path: check_replaces(path, MARK.encode())):
        check(path)  # there is none
    path.touch()
    for check in (check_replaces_model, lambda path: check_replaces(path, MARK.encode())):
        check(path)
    path.write_bytes((trained_once[0] / "model.safetensors").read_bytes())
    check_replaces_model(path)
    with pytest.raises(CommandLineError):
        check_replaces(path, MARK.encode())
    path.write_text(one_file("a & b" * 100, "script", "style", "holder"))
    check_replaces(path, b"another", MARK.encode())
    with pytest.raises(CommandLineError):
        check_replaces_model(path)


@pytest.mark.parametrize("verb", ["quantise", "calibrate"])
def test_a_training_that_can_be_resumed_is_not_replaced_by_its_model(run, trained_once, tmp_path, verb):
    path = tmp_path / "last.safetensors"
    path.write_bytes((trained_once[0] / "last.safetensors").read_bytes())
    before = path.read_bytes()
    for words in ((path, trained_once[1]), (trained_once[0], trained_once[1], "-o", path)):
        done = run(verb, *words)
        assert done.code == 2
        assert f"{path} holds a training that can be resumed, which a model in its place would lose" in done.err
    assert path.read_bytes() == before


def test_a_damaged_model_is_not_taken_for_one(trained_once, tmp_path):
    path: Path = tmp_path / "file"
    path.write_bytes((trained_once[0] / "model.safetensors").read_bytes()[:50])
    with pytest.raises(CommandLineError, match="is no model file of neocog"):
        check_replaces_model(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no fifos here")
def test_a_page_into_a_fifo_is_refused_and_not_waited_for(run, trained_once, tmp_path):
    os.mkfifo(tmp_path / "page")
    done = run("export", trained_once[0], "--to", "html", "-o", tmp_path / "page")
    assert done.code == 1
    assert "it is a fifo, not a file" in done.err


def test_a_file_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    path: Path = tmp_path / "file"
    path.write_text("mine")

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("neocog.app.cli.replacing.open_file", refuse)
    with pytest.raises(NeocogError, match="cannot be read: permission denied"):
        check_replaces(path, b"mark")
