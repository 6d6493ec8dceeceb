"""Every verb takes shards, and a training on them ends with the bits of one on the files that were packed."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path

import pytest

from app.cli.test_train_kills import AFTER_SOME_FILES, check_same, started, words_of
from app.pictures import CLASSES
from neocog.model.modelfile import load_network
from neocog.model.network import Network
from neocog.train.runfolder import RunFolder
from shard_files import picture, write_tar
from test_docs import blocks

PAGE = Path(__file__).resolve().parents[3] / "docs" / "shards.md"
QUICK = ("--model", "lenet5", "--epochs", "2", "--batch-size", "8", "--seed", "3")


@pytest.fixture
def shards(photos: Path, tmp_path: Path) -> Path:
    """The photos as two archives, in the order in which a folder of them is read."""
    names = sorted(CLASSES)
    paths = [path for name in names for path in sorted((photos / name).iterdir())]
    files = [
        file
        for path in paths
        for file in (
            (f"{path.parent.name}/{path.stem}.png", path.read_bytes()),
            (f"{path.parent.name}/{path.stem}.cls", str(names.index(path.parent.name)).encode()),
        )
    ]
    half = len(files) // 4 * 2
    write_tar(tmp_path / "shards/photos-000000.tar", files[:half])
    write_tar(tmp_path / "shards/photos-000001.tar", files[half:])
    (tmp_path / "shards/classes.txt").write_text("\n".join(names))
    return tmp_path / "shards"


def test_a_training_on_shards_ends_with_the_bits_of_one_on_files(run, photos, shards, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("train", photos, *QUICK, "-o", "files").code == 0
    pattern = "shards/photos-{000000..000001}.tar"
    done = run("train", pattern, *QUICK, "--threads", "1", "--workers", "3", "-o", "packed")
    assert done.code == 0, done.err
    assert f"evaluate packed/model.safetensors '{pattern}'" in done.out + done.err
    one, other = (load_network(Path(name) / "model.safetensors", Network) for name in ("files", "packed"))
    assert one.class_names == other.class_names == ("bright", "dark")
    for name, value in one.parameters.items():
        assert value.tobytes() == other.parameters[name].tobytes(), name
    assert other.learnt_from is not None
    assert one.learnt_from.tolist() == other.learnt_from.tolist()
    config = json.loads(Path("packed/config.json").read_text())
    assert config["data"] == str(tmp_path / pattern)
    figures = [json.loads(run("evaluate", "files", data, "--json").out) for data in (photos, "shards")]
    assert figures[0]["confusion"] == figures[1]["confusion"]
    assert figures[1]["left_out"] == figures[0]["left_out"] > 0  # the images are known, wherever they lie

    named = [run("predict", "files", data).out.splitlines() for data in (photos, "shards", pattern)]
    assert named[1] == named[2]
    assert [line.split("\t")[1:] for line in named[0]] == [line.split("\t")[1:] for line in named[1]]
    assert named[1][0].startswith("shards/photos-000000.tar/bright/0.png\tbright\t")
    assert run("info", "shards").code == 0
    monkeypatch.chdir(tmp_path / "shards")  # the pattern was kept as a path that is found from everywhere
    assert run("train", "--resume", "../packed", "--epochs", "3").code == 0


def test_a_training_on_shards_that_is_killed_ends_with_the_same_bits(shards, tmp_path):
    pattern, flags = shards / "photos-{000000..000001}.tar", (*QUICK[:2], "--epochs", "8", "--batch-size", "2")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert started(words_of(pattern, whole, flags)).wait() == 0
    assert started(words_of(pattern, cut, flags), AFTER_SOME_FILES, "60", str(cut)).wait() == -signal.SIGKILL
    assert 0 < len(RunFolder(cut).read_history()) < 8
    assert started(words_of(pattern, cut, flags)).wait() == 0
    check_same(whole, cut)


def test_the_page_about_shards_is_true(run, photos, tmp_path, monkeypatch):
    """Its programs and commands run as they stand, and both kinds of shards are learnt from alike."""
    for module in ("webdataset", "datasets"):
        pytest.importorskip(module)
    monkeypatch.chdir(tmp_path)
    for block in blocks(PAGE, "python"):
        exec(block, {})
    assert [path.name for path in sorted(Path("shards").iterdir())][1:] == [f"photos-{n:06d}.tar" for n in range(3)]
    commands = [shlex.split(line, comments=True) for block in blocks(PAGE, "sh") for line in block.splitlines()]
    for words in commands:
        assert words[0] == "neocog"
        flags = ("--batch-size", "8", "--model", "lenet5") if words[1] == "train" else ()
        done = run(*words[1:], *flags)
        assert done.code == 0, done.err
    assert len(commands) == 5
    one, other = (load_network(Path("runs") / name / "model.safetensors", Network) for name in ("shards", "hub"))
    assert one.class_names == other.class_names == ("bright", "dark")
    assert one.learnt_from.tolist() == other.learnt_from.tolist()
    named = run("predict", "runs/hub", "hub", "--csv").out.splitlines()
    assert named[1].startswith("hub/data/train-00000-of-00001.parquet/0,bright,")
    assert len(named) == 25


def test_what_cannot_be_read_is_told_without_a_traceback(run, shards, trained_once, tmp_path):
    model = trained_once[0]
    write_tar(
        shards / "photos-000002.tar", [("a.png", b"no image"), ("a.cls", b"0"), ("b.png", picture(0)), ("b.cls", b"1")]
    )
    done = run("predict", model, shards / "photos-000002.tar")
    assert done.code == 0
    assert done.out.startswith(f"{shards}/photos-000002.tar/b.png\t")
    assert "photos-000002.tar/a.png: not an image in a known format" in done.err
    done = run("check", shards)
    assert done.code == 1
    assert "error: 1 file cannot be read" in done.out
    done = run("train", shards / "photos-{000000..000009}.tar", *QUICK, "-o", tmp_path / "run")
    assert done.code != 0
    assert "7 of 10 files are missing" in done.err
    whole = (shards / "photos-000001.tar").read_bytes()
    (shards / "photos-000001.tar").write_bytes(whole[: len(whole) // 2])
    for words in (
        ("train", shards, *QUICK),
        ("evaluate", model, shards),
        ("predict", model, shards),
        ("check", shards),
    ):
        done = run(*words)
        assert done.code == 1
        assert "photos-000001.tar: the archive is cut" in done.err
