"""`neocog train`: what it writes and prints."""

from __future__ import annotations

import csv
import json
import re
import shlex

import numpy as np
import pytest

from app.pictures import CLASSES, write_photos
from neocog.app.cli import compiling
from neocog.data import cache
from neocog.train.runfolder import RunFolder

FILES = {
    *("model.safetensors", "last.safetensors", "filters.safetensors"),
    *("history.csv", "config.json", "split.csv", "starts.json"),
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


def test_patience_and_time_end_a_training(run, photos, tmp_path):
    told = json.loads(run("train", photos, "--time", "0.02", "-b", "8", "-o", tmp_path / "a", "--json").out)
    assert told["stopped"] == "time limit"
    # A learning rate so small that no weight changes: no epoch is better than the first.
    still = ("--model", "photo", "--optimizer", "sgd", "--lr", "1e-30", "--epochs", "200", "--patience", "2", "-b", "8")
    told = json.loads(run("train", photos, *still, "-o", tmp_path / "b", "--json").out)
    assert (told["stopped"], told["epochs"], told["best_epoch"]) == ("patience", 3, 1)


def test_a_second_training_on_the_current_folder_has_the_same_classes(run, photos, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / "empty").mkdir()
    for _ in range(2):
        done = run("train", ".", *QUICK, "--json")
        assert json.loads(done.out)["classes"] == list(CLASSES)
        assert "1 folder ignored, without an image: empty" in done.err
    assert "ignored: a run folder with a trained model" in done.err


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


def test_with_a_time_limit_no_number_of_epochs_is_pretended(run, photos, tmp_path):
    done = run("train", photos, "--time", "0.01", "-b", "8", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert "epoch 1: loss " in done.err
    assert "ended on time, after " in done.err
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


def test_images_that_neither_memory_nor_disk_keeps_are_told_once(run, photos, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "available_memory", lambda: 100)
    monkeypatch.setattr(cache, "shelf_for", lambda *arguments: None)
    done = run("train", photos, *QUICK, "-o", tmp_path / "out")
    assert done.code == 0
    told = "note: the decoded images (0 MiB) take more than a quarter of the free memory, and there is no room on disk"
    assert done.err.count(told) == 1
    monkeypatch.undo()
    assert "each epoch decodes" not in run("train", photos, *QUICK, "-o", tmp_path / "other").err


@pytest.mark.data
@pytest.mark.parametrize(("name", "epochs", "least"), [("mnist", 1, 0.975), ("fashion-mnist", 1, 0.84)])
def test_public_data_sets_are_learnt(run, tmp_path, shared_data, name, epochs, least):
    done = run("train", shared_data / name, "--epochs", str(epochs), "-o", tmp_path / "out", "--json")
    told = json.loads(done.out)
    assert told["images"] == 10_000
    assert told["accuracy"] >= least
    assert np.isfinite(told["loss"])
