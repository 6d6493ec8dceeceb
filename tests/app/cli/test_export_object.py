"""`neocog export --to object` and `neocog verify`: what is written, and what is said of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from neocog.standalone.machines import HERE

needs_cc = pytest.mark.skipif(
    not any(map(shutil.which, HERE.compilers)), reason="no C compiler is installed: apt-get install gcc"
)


@needs_cc
def test_an_object_is_written_and_answers_as_the_model(run: Any, trained_once: Any, tmp_path: Path) -> None:
    model, photos = trained_once
    folder = tmp_path / "pets"
    done = run("export", model, "--to", "object", "-o", folder, "--name", "pets")
    assert done.code == 0, done.err
    assert done.out.startswith(f"wrote      {folder}: neocog_pets_predict for native, a header and a README")
    assert {file.name for file in folder.iterdir()} == {"pets.o", "pets.h", "README.md", "neocog.json"}
    done = run("verify", folder, model)
    assert done.code == 0, done.err
    assert "answered  100 images; probabilities differ by at most" in done.out
    told = json.loads(run("verify", folder, model, "--data", photos, "--images", "5", "--json").out)
    assert (told["images"], told["target"], told["emulator"]) == (5, "native", None)
    assert told["difference"] < 1e-5


def test_targets_and_forms_are_chosen(run: Any, trained_once: Any, tmp_path: Path) -> None:
    model = trained_once[0]
    words = ("export", model, "--to", "object", "-o", tmp_path / "net", "--name", "net", "--json")
    told = json.loads(run(*words, "--target", "cortex-m4").out)
    assert (told["name"], told["target"], told["cpu"]) == ("net", "cortex-m4", "cortex-m4")
    assert 0 < told["bytes"]["code"] < told["bytes"]["constants"]
    assert told["arena_bytes"] > 0
    told = json.loads(run(*words, "--emit", "asm").out)
    assert (told["bytes"], told["calls"]) == (None, None)
    assert {Path(file).name for file in told["files"]} == {file.name for file in (tmp_path / "net").iterdir()}
    assert (tmp_path / "net/net.s").is_file()
    done = run("verify", tmp_path / "net", model)
    assert done.code == 1
    assert "holds no net.o" in done.err
    assert "--emit object" in done.err


def test_mistakes_are_said(run: Any, trained_once: Any, tmp_path: Path) -> None:
    model = trained_once[0]
    assert "string.h is a header of C itself" in run("export", model, "--to", "object", "--name", "string").err
    assert "--target is not for --to web" in run("export", model, "--to", "web", "--target", "rv32").err
    done = run("export", model, "--to", "object", "-o", model)
    assert "holds other files" in done.err
    assert "--output" in done.err
    assert f"there is no folder {tmp_path / 'none'}" in run("verify", tmp_path / "none", model).err
    done = run("verify", tmp_path, model)
    assert done.code == 1
    assert "holds no compiled network" in done.err
