"""`neocog train`: what it writes, prints and refuses."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shlex

import numpy as np
import pytest

import neocog as nc
from app.pictures import CLASSES, write_image, write_photos
from neocog.app.cli import compiling
from neocog.data import cache
from neocog.train.runfolder import RunFolder
from neocog.train.trainer import Trainer

FILES = {
    *("model.safetensors", "last.safetensors", "filters.safetensors"),
    *("history.csv", "config.json", "split.csv"),
}
QUICK = ("--epochs", "2", "--batch-size", "8")


def test_a_folder_of_photos_becomes_a_run_folder(run, photos, tmp_path):
    done = run("train", photos, *QUICK, "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    assert "epoch 2/2" in done.err
    assert "photos: 2 classes; images: " in done.err
    for word in ("accuracy", "parameters", "confused", "model.safetensors", "images/s", "neocog predict"):
        assert word in done.out
    rows = list(csv.DictReader((tmp_path / "out" / "split.csv").open()))
    assert len(rows) == 24
    assert {row["label"] for row in rows} == set(CLASSES)


def test_the_next_command_works_as_it_stands(run, photos, tmp_path):
    done = run("train", photos, *QUICK, "-o", tmp_path / "with space")
    command = done.out.rstrip().splitlines()[-1].removeprefix("next").strip()
    words = shlex.split(command)
    assert words[:2] == ["neocog", "predict"]
    assert run(*words[1:]).code == 0


def test_the_digits_are_learnt_in_seconds(run, tmp_path):
    done = run("train", "digits", "--json", "--quiet", "-o", tmp_path / "out")
    assert done.err == ""
    told = json.loads(done.out)
    assert told["accuracy"] >= 0.97
    assert told["split"] == "test"
    assert told["epochs"] == 40
    assert len(told["most_confused"]) <= 3
    assert set(told["per_class"]) == set("0123456789")
    assert told["next"] == f"neocog evaluate {tmp_path}/out/model.safetensors digits"
    again = run(*shlex.split(told["next"])[1:], "--json")
    assert json.loads(again.out)["accuracy"] == told["accuracy"]


def test_the_same_seed_gives_the_same_bytes_for_any_threads(run, photos, tmp_path):
    for name, threads, workers in (("a", "1", "0"), ("b", "2", "2")):
        run("train", photos, *QUICK, "--threads", threads, "--workers", workers, "-o", tmp_path / name)
    assert (tmp_path / "a/model.safetensors").read_bytes() == (tmp_path / "b/model.safetensors").read_bytes()
    run("train", photos, *QUICK, "--seed", "1", "-o", tmp_path / "c")
    assert (tmp_path / "a/model.safetensors").read_bytes() != (tmp_path / "c/model.safetensors").read_bytes()


def test_runs_get_names_of_their_own(run, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run("train", "photos", "epochs=1", "--quiet").code == 0
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"photos", "photos-2"}


def test_settings_of_other_tools_are_understood(run, photos, tmp_path):
    done = run(
        "train", photos, "epochs=1", "imgsz=20x24", "batch=4", "lr0=0.01", "optimizer=SGD", f"output={tmp_path}/o"
    )
    assert done.code == 0, done.err
    config = json.loads((tmp_path / "o/config.json").read_text())
    assert (config["img_size"], config["batch_size"], config["lr"]) == ([20, 24], 4, 0.01)
    assert config["optimizer"] == "sgd"


def test_parts_that_are_there_are_used(run, tmp_path):
    for part, first in (("train", 0), ("val", 100), ("test", 200)):
        write_photos(tmp_path / "data" / part, per_class=4, first=first)
    done = run("train", tmp_path / "data", *QUICK, "-o", tmp_path / "out", "--json")
    told = json.loads(done.out)
    assert (told["split"], told["images"]) == ("test", 8)
    assert "images: 8 train, 8 validation, 8 test" in done.err


def test_a_validation_part_is_carved_out_of_a_training_part_that_comes_with_a_test_part(run, tmp_path):
    write_photos(tmp_path / "data/train", per_class=20)
    write_photos(tmp_path / "data/test", per_class=3, first=100)
    done = run("train", tmp_path / "data", *QUICK, "-o", tmp_path / "out", "--json")
    assert json.loads(done.out)["images"] == 6
    assert "validation" in done.err
    assert "6 test" in done.err


def test_without_a_test_part_the_validation_part_is_measured(run, tmp_path):
    write_photos(tmp_path / "data/train", per_class=4)
    write_photos(tmp_path / "data/val", per_class=3, first=100)
    told = json.loads(run("train", tmp_path / "data", *QUICK, "-o", tmp_path / "out", "--json").out)
    assert (told["split"], told["images"]) == ("validation", 6)


def test_two_images_are_enough(run, tmp_path):
    write_photos(tmp_path / "data", per_class=1)
    assert run("train", tmp_path / "data", *QUICK, "-o", tmp_path / "out").code == 0


def test_unreadable_images_are_listed_and_skipped(run, photos, tmp_path):
    (photos / "dark/broken.png").write_text("no image")
    done = run("train", photos, *QUICK, "-o", tmp_path / "out", "--json")
    assert done.code == 0
    assert "warning: 1 image cannot be read and is skipped" in done.err
    assert "broken.png" in done.err
    assert json.loads(done.out)["unreadable"] == 1


def test_strict_does_not_train_with_unreadable_images(run, photos, tmp_path):
    (photos / "dark/broken.png").write_text("no image")
    done = run("train", photos, *QUICK, "-o", tmp_path / "out", "--strict")
    assert done.code == 1
    assert "broken.png" in done.err
    assert not (tmp_path / "out").exists()


def test_patience_and_time_end_a_training(run, photos, tmp_path):
    told = json.loads(run("train", photos, "--time", "0.02", "-b", "8", "-o", tmp_path / "a", "--json").out)
    assert told["stopped"] == "time limit"
    # A learning rate so small that no weight changes: no epoch is better than the first.
    still = ("--optimizer", "sgd", "--lr", "1e-30", "--epochs", "200", "--patience", "2", "-b", "8")
    told = json.loads(run("train", photos, *still, "-o", tmp_path / "b", "--json").out)
    assert (told["stopped"], told["epochs"], told["best_epoch"]) == ("patience", 3, 1)


# -- interrupted and resumed ------------------------------------------------------------------------------------------


@pytest.fixture
def interrupted(monkeypatch):
    """Ctrl-C as soon as the checkpoint of the given epoch is written."""

    def after(epochs: int) -> None:
        save = RunFolder.save_last

        def save_and_stop(folder, checkpoint):
            save(folder, checkpoint)
            if len(checkpoint.history) == epochs:
                raise KeyboardInterrupt

        monkeypatch.setattr(RunFolder, "save_last", save_and_stop)

    yield after
    monkeypatch.undo()


def test_an_interrupted_training_says_how_to_go_on_and_ends_as_if_nothing_had_been(
    run, photos, tmp_path, interrupted, monkeypatch
):
    flags = ("--epochs", "4", "--batch-size", "8", "--seed", "3")
    run("train", photos, *flags, "-o", tmp_path / "whole")
    interrupted(2)
    done = run("train", photos, *flags, "-o", tmp_path / "cut")
    assert done.code == 130
    assert done.out == ""
    hint = f"neocog train {photos} --resume {tmp_path / 'cut'}"
    assert done.err.endswith(
        f"interrupted; the finished epochs are saved in {tmp_path / 'cut'}\n  hint: continue with: {hint}\n"
    )
    monkeypatch.undo()
    done = run(*shlex.split(hint)[1:])
    assert done.code == 0, done.err
    assert "epoch 3/4" in done.err
    assert "epoch 2/4" not in done.err
    for name in ("model.safetensors", "split.csv", "config.json"):
        same = [(tmp_path / which / name).read_bytes() for which in ("whole", "cut")]
        assert same[0] == same[1]


def test_an_interruption_before_the_first_epoch_leaves_nothing(run, photos, tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "step", interrupt)
    done = run("train", photos, *QUICK, "-o", tmp_path / "out")
    assert done.code == 130
    assert "error: interrupted before the first epoch was finished; nothing is kept" in done.err
    assert not (tmp_path / "out").exists()


def test_a_resumed_training_finds_its_data_and_may_go_on_for_longer(run, photos, tmp_path):
    run("train", photos, *QUICK, "-o", tmp_path / "out")
    done = run("train", "--resume", tmp_path / "out", "--epochs", "3", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["epochs"] == 3
    assert run("train", "--resume", tmp_path / "out/last.safetensors", "--epochs", "4").code == 0


def test_resuming_with_other_images_is_told(run, photos, tmp_path):
    run("train", photos, *QUICK, "-o", tmp_path / "out")
    write_photos(photos, per_class=5, first=500)
    done = run("train", photos, "--resume", tmp_path / "out", "--epochs", "3")
    assert done.code == 0
    assert "warning: the images have changed since this training began" in done.err


def test_resuming_with_other_classes_is_refused(run, photos, tmp_path):
    run("train", photos, *QUICK, "-o", tmp_path / "out")
    write_image(photos / "grey/1.png", 120)
    done = run("train", photos, "--resume", tmp_path / "out")
    assert done.code == 1
    assert "the classes are not those that" in done.err
    assert "  trained on: bright, dark\n  found: bright, dark, grey" in done.err


def test_what_a_training_began_with_cannot_be_changed_on_the_way(run, photos, tmp_path):
    run("train", photos, *QUICK, "-o", tmp_path / "out")
    done = run("train", photos, "--resume", tmp_path / "out", "--lr", "0.1")
    assert done.code == 2
    assert done.err.startswith("error: --lr cannot be changed with --resume")


def test_resuming_what_is_no_training_is_refused(run, photos, tmp_path):
    done = run("train", photos, "--resume", tmp_path / "nowhere")
    assert done.code == 2
    assert "nowhere cannot be resumed: it has no last.safetensors" in done.err
    assert not (tmp_path / "nowhere").exists()


def test_resuming_from_a_damaged_checkpoint_is_one_message(run, photos, tmp_path):
    run("train", photos, *QUICK, "-o", tmp_path / "out")
    last = tmp_path / "out/last.safetensors"
    last.write_bytes(last.read_bytes()[:-100])
    done = run("train", photos, "--resume", tmp_path / "out")
    assert done.code == 1
    assert "last.safetensors is truncated" in done.err
    assert last.exists()


# -- refused ----------------------------------------------------------------------------------------------------------


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
        (["--time", "0"], "--time must be above 0, got 0", "see"),
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


def test_a_second_training_on_the_current_folder_has_the_same_classes(run, photos, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / "empty").mkdir()
    for _ in range(2):
        done = run("train", ".", *QUICK, "--json")
        assert json.loads(done.out)["classes"] == list(CLASSES)
        assert "1 folder ignored, without an image: empty" in done.err
    assert "ignored: a run folder with a trained model" in done.err


def test_a_class_folder_that_is_no_text_is_named(run, photos):
    (photos / "dark").rename(photos / os.fsdecode(b"d\xe9"))
    for verb in ("check", "train"):
        refused(run(verb, photos), 1, "the class folder b'd\\xe9' has a name that is not UTF-8", "rename the folder")


def test_a_folder_of_a_training_killed_in_its_first_epoch_is_used_again(run, photos, trained):
    for name in ("model.safetensors", "last.safetensors", "history.csv"):
        (trained / name).unlink()
    assert run("train", photos, *QUICK, "-o", trained).code == 0


def test_resuming_is_offered_only_where_it_can_be_done(run, photos, trained):
    (trained / "last.safetensors").unlink()
    done = run("train", photos, *QUICK, "-o", trained)
    refused(done, 2, "already holds a training run", "choose another --output, or replace")


def test_the_old_training_stays_until_the_new_one_has_an_epoch(run, photos, trained, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = {path.name: path.read_bytes() for path in trained.iterdir()}
    monkeypatch.setattr(Trainer, "step", interrupt)
    done = run("train", photos, *QUICK, "-o", trained, "--overwrite")
    assert done.code == 130
    assert "the training before it is kept" in done.err
    assert {path.name: path.read_bytes() for path in trained.iterdir()} == before


def test_seconds_and_speed_are_of_the_same_epochs(run, photos, tmp_path):
    told = json.loads(run("train", photos, *QUICK, "-o", tmp_path / "out", "--json").out)
    assert told["seconds"] == pytest.approx(sum(told["history"]["seconds"]))
    images = json.loads((tmp_path / "out/config.json").read_text())["images"]["train"]
    assert told["images_per_second"] == pytest.approx(2 * images / told["seconds"])


def test_a_long_compilation_is_explained(run, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(compiling, "PATIENCE", 0.0)
    monkeypatch.setattr(compiling, "REFRESH", 0.001)
    monkeypatch.setenv("NEOCOG_CACHE", str(tmp_path / "empty"))
    assert run("train", photos, *QUICK, "-o", tmp_path / "a").err.count("compiling the network") >= 1
    monkeypatch.setenv("NEOCOG_CACHE", str(tmp_path / "also empty"))
    assert "compiling" not in run("train", photos, *QUICK, "-o", tmp_path / "b", "--quiet").err


def test_few_images_of_a_class_are_told(run, tmp_path):
    write_photos(tmp_path / "data", per_class=3)
    done = run("train", tmp_path / "data", *QUICK, "-o", tmp_path / "out")
    assert "warning: 2 classes with fewer than 10 training images: bright (" in done.err


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
    from neocog.model import files

    writes = []

    def full(handle: int) -> None:
        writes.append(handle)
        if len(writes) > 12:  # within the second epoch or later
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    done = run("train", photos, "--epochs", "9", "-b", "8", "-o", tmp_path / "out")
    assert done.code == 1
    assert "cannot be written: the disk is full" in done.err
    assert {"model.safetensors", "last.safetensors"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert not list((tmp_path / "out").glob("*.tmp"))


def test_a_disk_that_is_full_from_the_start_leaves_nothing(run, photos, tmp_path, monkeypatch):
    from neocog.model import files

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
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

    monkeypatch.setattr(Trainer, "step", hungry)
    refused(run("train", photos, *QUICK, "-o", tmp_path / "out"), 1, "out of memory", "try a smaller --batch-size")


def test_a_missing_torch_is_told(run, photos, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "neocog.engines.torch", raising=False)
    done = run("train", photos, *QUICK, "--engine", "torch", "-o", tmp_path / "out")
    assert done.code == 1
    assert "torch" in done.err
    assert "hint: " in done.err


# -- public data ------------------------------------------------------------------------------------------------------


@pytest.mark.data
@pytest.mark.parametrize(("name", "epochs", "least"), [("mnist", 1, 0.975), ("fashion-mnist", 1, 0.84)])
def test_public_data_sets_are_learnt(run, tmp_path, shared_data, name, epochs, least):
    done = run("train", shared_data / name, "--epochs", str(epochs), "-o", tmp_path / "out", "--json")
    told = json.loads(done.out)
    assert told["images"] == 10_000
    assert told["accuracy"] >= least
    assert np.isfinite(told["loss"])


def test_with_a_time_limit_no_number_of_epochs_is_pretended(run, photos, tmp_path):
    done = run("train", photos, "--time", "0.01", "-b", "8", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "epoch 1: loss " in done.err
    assert "epochs: time limit" in done.err
    assert not re.search(r"epoch \d+/|of [\d,]+ epochs", done.err)
    assert json.loads((tmp_path / "out/config.json").read_text())["epochs"] is None
    assert RunFolder(tmp_path / "out").load_last().settings.epochs is None


def test_test_images_that_are_copies_of_training_images_are_told(run, tmp_path):
    write_photos(tmp_path / "data/train", per_class=6)
    write_photos(tmp_path / "data/test", per_class=2, first=5)  # the first of each class is in both
    done = run("train", tmp_path / "data", *QUICK, "-o", tmp_path / "out")
    assert done.code == 0
    assert "warning: 2 of the 4 test images are copies of images that the training learns from" in done.err
    done = run("evaluate", tmp_path / "out", tmp_path / "data")
    assert " of 4 test images" in done.out
    assert "warning: the model learnt from 2 of these 4 images" in done.err


def test_validation_images_that_are_copies_of_training_images_are_told_where_they_are_what_is_reported(run, tmp_path):
    write_photos(tmp_path / "data/train", per_class=6)
    write_photos(tmp_path / "data/val", per_class=2, first=5)
    done = run("train", tmp_path / "data", *QUICK, "-o", tmp_path / "out", "-q")
    assert "warning: 2 of the 4 validation images are copies of images that the training learns from" in done.err


def test_a_training_that_is_done_says_that_nothing_is_left(run, photos, tmp_path):
    assert run("train", photos, *QUICK, "-o", tmp_path / "out").code == 0
    for more in ((), ("--epochs", "1")):
        done = run("train", "--resume", tmp_path / "out", *more)
        assert done.code == 0
        assert "epochs are done already, so there is nothing left to train" in done.err


@pytest.mark.parametrize("place", ["data", "data/dark"])
def test_a_run_is_not_written_among_the_images(run, tmp_path, place):
    write_photos(tmp_path / "data")
    done = run("train", tmp_path / "data", *QUICK, "-o", tmp_path / place, "--overwrite")
    assert done.code == 2
    assert "holds images; a run needs a folder of its own" in done.err
    assert not list((tmp_path / "data").rglob("*.safetensors"))


def test_a_training_goes_on_learning_from_all_that_it_saw(run, photos, tmp_path):
    out = tmp_path / "out"
    assert run("train", photos, *QUICK, "-o", out).code == 0
    before = nc.load(out / "last.safetensors").learnt_from
    rows = [row.rpartition(",") for row in (out / "split.csv").read_text().splitlines()[1:]]
    assert len(before) == sum(part != "test" for _, _, part in rows)
    assert run("train", "--resume", out, "--epochs", "5").code == 0
    assert (nc.load(out / "model.safetensors").learnt_from == before).all()


def test_images_that_memory_does_not_keep_are_told_once(run, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "available_memory", lambda: 100)
    done = run("train", photos, *QUICK, "-o", tmp_path / "out")
    assert done.code == 0
    assert (
        done.err.count("note: the decoded images (0 MiB) take more than a quarter of the free memory; each epoch") == 1
    )
    monkeypatch.undo()
    assert "each epoch decodes" not in run("train", photos, *QUICK, "-o", tmp_path / "other").err
