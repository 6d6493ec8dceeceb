"""What `neocog train` refuses, and how it says so."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from app.pictures import write_image, write_photos
from neocog.train.trainer import Trainer

QUICK = ("--epochs", "2", "--batch-size", "8")


def refused(done, code: int, message: str, hint: str) -> None:
    assert done.code == code, done.err
    assert done.out == ""
    errors = done.err[done.err.index("error: ") :]
    assert message in errors.splitlines()[0]
    assert f"  hint: {hint}" in errors


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["--epochs", "0"], "--epochs must be 1 or more, got 0", "see neocog train --help"),
        (["--lr", "-1"], "--lr must be above 0, got -1", "see neocog train --help"),
        (["--lr", "0"], "--lr must be above 0, got 0", "see"),
        (["--img-size", "0"], "--img-size must be N for a square or HxW, from 1 to 4096 pixels a side, got 0", "see"),
        (["--batch-size", "0"], "--batch-size must be 1 or more, got 0", "see"),
        (["--threads", "0"], "--threads must be 1 or more, got 0", "see"),
        (["--workers", "-1"], "--workers must be 0 or more, got -1", "see"),
        (["--weight-decay", "-1"], "--weight-decay must be 0 or more, got -1", "see"),
        (["--label-smoothing", "1"], "--label-smoothing must be 0 or more and below 1, got 1", "see"),
        (["--momentum", "1", "--optimizer", "sgd"], "--momentum must be 0 or more and below 1, got 1", "see"),
        (["--momentum", "0.9"], "--momentum only applies to --optimizer muon, rmsprop or sgd, got adam", "leave one"),
        (["--time", "0"], "--time must be a time above 0, such as 10m (or 10), 90s or 1h, got 0", "see"),
        (["--patience", "0"], "--patience must be 1 or more, got 0", "see"),
        (["--seed", "-1"], "--seed must be 0 or more, got -1", "see"),
        (
            ["--model", "inception"],
            "--model must be the name of a known network, got 'inception'",
            "neocog models lists them",
        ),
        (["--model", "resnet"], "--model must be", "did you mean resnet"),
        (["--model", "letnet5"], "--model must be", "did you mean lenet5?"),
        (["--optimizer", "adamm"], "--optimizer must be adadelta, adagrad, adam, adamw, lamb,", "did you mean adam"),
        (["--schedule", "linar"], "--schedule must be constant, cosine, linear, one-cycle,", "did you mean linear?"),
        (["--warmup", "1"], "--warmup must be 0 or more and below 1, got 1", "see"),
        (["--lookahead", "0"], "--lookahead must be 1 or more, got 0", "see"),
        (["--clip-norm", "0"], "--clip-norm must be above 0, got 0", "see"),
        (["--l1", "-1"], "--l1 must be 0 or more, got -1", "see"),
        (["--engine", "gpu"], "--engine must be native, reference or torch, got 'gpu'", ""),
        (["--channels", "2"], "--channels must be 1 or 3, got '2'", ""),
        (["--epoch", "3"], "neocog train has no flag --epoch", "did you mean --epochs?"),
        (["epoch=3"], "neocog train has no setting 'epoch'", "did you mean epochs=3?"),
        (["-o", ""], "--output must not be empty", "see neocog train --help"),
        (["--resume", ""], "--resume must not be empty", "see neocog train --help"),
        (["more"], "got unexpected extra argument", "see neocog train --help"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_before_anything_is_read(run, words, message, hint):
    refused(run("train", "digits", *words), 2, message, hint)


def test_data_must_be_named(run):
    refused(run("train"), 2, "neocog train needs DATA", "to try it out: neocog train digits")


def test_an_empty_word_is_not_the_current_folder(run):
    refused(run("train", ""), 2, "DATA must not be empty", "see neocog train --help")


def test_a_class_folder_that_is_no_text_is_named(run, photos):
    (photos / "dark").rename(photos / os.fsdecode(b"d\xe9"))
    for verb in ("check", "train"):
        refused(run(verb, photos), 1, "the class folder b'd\\xe9' has a name that is not UTF-8", "rename the folder")


def test_resuming_is_offered_only_where_it_can_be_done(run, photos, trained):
    (trained / "last.safetensors").unlink()
    done = run("train", photos, *QUICK, "-o", trained)
    refused(done, 2, "already holds a training run", "choose another --output, or replace")


def test_data_that_is_not_there_is_told(run, photos):
    refused(run("train", f"{photos}s"), 2, "there is no such file or folder", f"did you mean {photos}?")


def test_an_empty_folder_is_told(run, tmp_path):
    (tmp_path / "empty").mkdir()
    done = run("train", tmp_path / "empty")
    assert done.code == 1
    assert "error: " in done.err
    assert "no labelled images found here" in done.err


def test_a_file_of_another_kind_is_told(run, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    done = run("train", tmp_path / "notes.txt")
    assert done.code == 1
    assert "not supported for labelled images" in done.err


def test_one_class_is_told(run, tmp_path):
    write_image(tmp_path / "data/cat/1.png", 9)
    write_image(tmp_path / "data/cat/2.png", 99)
    refused(run("train", tmp_path / "data"), 1, "training needs at least 2 classes, found 1: cat", "put the images of")


def test_data_without_one_readable_image_is_told(run, tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.png").write_text("no image")
    done = run("train", tmp_path / "data", "-o", tmp_path / "out")
    refused(done, 1, "training needs at least 2 images that can be read, found 0", "find out why with")
    assert not (tmp_path / "out").exists()


def test_a_network_that_does_not_fit_the_images_is_told_before_they_are_read(run, photos, tmp_path):
    done = run("train", photos, "--model", "article", "--img-size", "6", "-o", tmp_path / "out")
    refused(done, 1, "needs an input of at least", "remove a pooling layer")
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_holds_a_training_is_kept(run, photos, trained):
    before = (trained / "model.safetensors").read_bytes()
    refused(run("train", photos, *QUICK, "-o", trained), 2, "already holds a training run", "choose another --output")
    assert (trained / "model.safetensors").read_bytes() == before
    assert run("train", photos, *QUICK, "-o", trained, "--overwrite", "--seed", "9").code == 0
    assert (trained / "model.safetensors").read_bytes() != before


def test_an_output_folder_that_cannot_be_made_is_told(run, photos, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run("train", photos, *QUICK, "-o", tmp_path / "file/run")
    refused(done, 1, "cannot be made", "choose another place with --output")


def test_a_full_disk_is_told_and_what_was_written_stays(run, photos, tmp_path, monkeypatch):
    from neocog.model import writing

    writes = []

    def full(handle: int) -> None:
        writes.append(handle)
        if len(writes) > 12:  # within the second epoch or later
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    done = run("train", photos, "--epochs", "9", "-b", "8", "-o", tmp_path / "out")
    assert done.code == 1
    assert "cannot be written: the disk is full" in done.err
    assert {"model.safetensors", "last.safetensors"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert not list((tmp_path / "out").glob("*.tmp"))


def test_a_disk_that_is_full_from_the_start_leaves_nothing(run, photos, tmp_path, monkeypatch):
    from neocog.model import writing

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.os, "fsync", full)
    done = run("train", photos, *QUICK, "-o", tmp_path / "out")
    assert done.code == 1
    assert "the disk is full" in done.err
    assert not (tmp_path / "out").exists()


def test_a_training_that_diverges_is_told(run, photos, tmp_path):
    done = run("train", photos, "--optimizer", "sgd", "--lr", "1e30", *QUICK, "-o", tmp_path / "out")
    refused(done, 1, "must be finite", "lower the learning rate")


def test_out_of_memory_is_one_message(run, photos, tmp_path, monkeypatch):
    def hungry(*_):
        raise MemoryError

    monkeypatch.setattr(Trainer, "begin", hungry)
    refused(run("train", photos, *QUICK, "-o", tmp_path / "out"), 1, "out of memory", "try a smaller --batch-size")


def test_a_missing_torch_is_told(run, photos, tmp_path, monkeypatch):

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "neocog.engines.torch", raising=False)
    done = run("train", photos, *QUICK, "--engine", "torch", "-o", tmp_path / "out")
    assert done.code == 1
    assert "torch" in done.err
    assert "hint: " in done.err


def test_strict_does_not_train_with_unreadable_images(run, photos, tmp_path):
    (photos / "dark/broken.png").write_text("no image")
    done = run("train", photos, *QUICK, "-o", tmp_path / "out", "--strict")
    assert done.code == 1
    assert "broken.png" in done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", ["data", "data/dark"])
def test_a_run_is_not_written_among_the_images(run, tmp_path, place):
    write_photos(tmp_path / "data")
    done = run("train", tmp_path / "data", *QUICK, "-o", tmp_path / place, "--overwrite")
    assert done.code == 2
    assert "holds images; a run needs a folder of its own" in done.err
    assert not list((tmp_path / "data").rglob("*.safetensors"))
