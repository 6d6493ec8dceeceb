"""`--reject`: answers that are too uncertain are "unknown", by what the validation images of the training say."""

from __future__ import annotations

import json
import shutil

import pytest

from neocog.model.calibration import Calibration, CurvePoint
from neocog.model.modelfile import load_network, save
from neocog.model.network import Network


@pytest.fixture
def half_sure(trained):
    """A run whose model says, by its file, that a half of all images are answered with at least 0.999."""
    model = load_network(trained / "model.safetensors", Network)
    model.calibration = Calibration(40.0, 20, (CurvePoint(0.999, 10, 10), CurvePoint(0.5, 20, 15)))
    save(model, trained / "model.safetensors")
    return trained


def test_a_training_says_what_its_probabilities_are_worth(trained_once):
    calibration = load_network(trained_once[0] / "model.safetensors", Network).calibration
    rows = (trained_once[0] / "split.csv").read_text().count(",validation")
    assert calibration.images == calibration.curve[-1].answered == rows


def test_uncertain_answers_are_unknown(run, half_sure, trained_once):
    _, photos = trained_once
    told = json.loads(run("predict", half_sure, photos, "--reject", "coverage=0.5", "--json").out)
    assert {image["class"] for image in told} == {"unknown"}  # such a temperature leaves no probability above 0.999
    assert {image["top"][0]["class"] for image in told} == {"bright", "dark"}
    assert all(image["probability"] == image["top"][0]["probability"] < 0.999 for image in told)
    lines = run("predict", half_sure, photos, "--reject", "coverage=0.5").out.splitlines()
    assert {line.split("\t")[1] for line in lines} == {"unknown"}
    every = json.loads(run("predict", half_sure, photos, "--json").out)
    assert {image["class"] for image in every} == {"bright", "dark"}
    measured = json.loads(
        run("evaluate", half_sure, photos, "--reject", "precision=0.9", "--split", "all", "--json").out
    )
    assert (measured["reject"]["threshold"], measured["reject"]["answered"]) == (0.999, 0)
    assert measured["accuracy"] == 1.0
    assert measured["calibration"]["temperature"] == 40.0
    text = run("evaluate", half_sure, photos, "--reject", "precision=0.9", "--split", "all").out
    assert "unknown: below 0.9990: 0.00 % of the images are answered, none is answered" in text


def test_a_training_that_was_asked_to_withholds_answers_and_says_so(run, photos, tmp_path):
    folder = tmp_path / "out"
    done = run("train", photos, "epochs=1", "batch=8", "--reject", "coverage=0.5", "--json", "-o", folder)
    told = json.loads(done.out)
    model = load_network(folder / "model.safetensors", Network)
    assert told["reject"]["threshold"] == model.reject_below is not None
    assert json.loads((folder / "config.json").read_text())["reject"] == "coverage=0.5"
    assert done.code == 0


def test_what_cannot_be_withheld_is_refused(run, trained, photos, tmp_path):
    done = run("predict", trained, photos, "--reject", "0.9")
    assert done.code == 2
    assert "error: --reject must be coverage=SHARE or precision=SHARE" in done.err
    model = load_network(trained / "model.safetensors", Network)
    model.calibration = None
    save(model, trained / "model.safetensors")
    done = run("predict", trained, photos, "--reject", "coverage=0.9")
    assert done.code == 2
    assert "its file holds no calibration" in done.err
    done = run("train", "digits", "--reject", "coverage=0.9", "-o", tmp_path / "out")
    assert done.code == 2
    assert "--reject coverage=0.9 needs validation images to choose by" in done.err


def test_a_figure_of_the_images_that_chose_the_epoch_is_called_one(run, photos, tmp_path):
    (tmp_path / "data").mkdir()
    shutil.copytree(photos, tmp_path / "data/train")
    shutil.copytree(photos, tmp_path / "data/val")
    done = run("train", tmp_path / "data", "epochs=1", "--keep", "best", "--quiet", "-o", tmp_path / "out")
    assert "of 24 validation images (95 %: " in done.out
    assert "but           these images chose the best epoch" in done.out
    assert "macro recall  " in done.out
    done = run("train", tmp_path / "data", "epochs=1", "--quiet", "-o", tmp_path / "last")
    assert "kept: the last" in done.out
    assert "chose" not in done.out
