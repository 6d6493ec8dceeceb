"""`neocog calibrate`: probabilities, "unknown" and thresholds, fitted on other images than those of the training."""

from __future__ import annotations

import json

import numpy as np
import pytest

import neocog as nc
from app.cli.test_several_labels import write_table
from app.pictures import write_image, write_photos
from neocog.data.identity import identities_of
from neocog.data.resize import ImageSize
from neocog.data.sources import read_source
from neocog.model.calibration import calibrated


@pytest.fixture
def unsure(trained):
    """A run of whose model nobody knows how far to trust it."""
    model = nc.load(trained / "model.safetensors")
    model.calibration = None
    model.save(trained / "model.safetensors")
    return trained


def test_a_model_is_calibrated_on_images_that_it_does_not_know(run, unsure, trained_once, tmp_path):
    before = nc.load(unsure / "model.safetensors")
    new = write_photos(tmp_path / "new", per_class=15, first=500)
    for number in range(600, 604):  # four images on which it is wrong
        write_image(new / "bright" / f"{number}.png", 40, seed=number)
    done = run("calibrate", unsure, new, "--reject", "coverage=0.5", "--json", "--quiet")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    model = nc.load(unsure / "model.safetensors")
    part = read_source(str(new)).unsplit
    assert part is not None
    images, _ = part.read(np.arange(len(part)), ImageSize(*model.input_shape), model.resize)
    want = calibrated(before.logits(images), part.labels)
    assert model.calibration is not None
    assert model.temperature == pytest.approx(want.temperature, rel=1e-4) != 1.0
    assert told["calibration"]["temperature"] == model.temperature
    assert told["reject"]["threshold"] == model.reject_below is not None
    for name, value in before.state_dict().items():
        np.testing.assert_array_equal(model.state_dict()[name], value)
    # These images count as known from now on, and so do those of the training.
    assert set(model.learnt_from) == set(before.learnt_from) | set(identities_of(part))
    done = run("evaluate", unsure, new)
    assert done.code == 1
    assert "the model learnt from all of these 34 images" in done.err


def test_images_of_the_training_are_left_out(run, unsure, trained_once, tmp_path):
    _, photos = trained_once
    known = len(nc.load(unsure / "model.safetensors").learnt_from)
    done = run("calibrate", unsure, photos, "-o", tmp_path / "other.safetensors")
    assert f"the model learnt from {known} of these 24 images; it is calibrated on the others" in done.err
    assert f"calibrated  on {24 - known} unseen images" in done.out
    assert nc.load(tmp_path / "other.safetensors").calibration is not None
    assert nc.load(unsure / "model.safetensors").calibration is None  # which -o leaves alone


def test_a_part_that_data_does_not_have_is_refused(run, unsure, tmp_path):
    write_photos(tmp_path / "data" / "train", per_class=3, first=700)
    done = run("calibrate", unsure, tmp_path / "data")
    assert done.code == 2
    assert "has no validation part" in done.err
    write_photos(tmp_path / "data" / "test", per_class=3, first=800)
    assert run("calibrate", unsure, tmp_path / "data", "--split", "test", "--quiet").code == 0


def test_labels_get_thresholds(run, tmp_path):
    table = write_table(tmp_path / "data")
    run("train", table, "--epochs", "2", "--batch-size", "8", "-o", tmp_path / "run", "--quiet")
    path = tmp_path / "run" / "model.safetensors"
    model = nc.load(path)
    model.thresholds = [0.9, 0.9]
    model.save(path)
    done = run("calibrate", path, write_table(tmp_path / "new", count=44), "--json", "--quiet")
    assert done.code == 0, done.err
    thresholds = nc.load(path).thresholds
    assert json.loads(done.out)["thresholds"] == dict(zip(("left", "right"), thresholds, strict=True))
    assert thresholds != (0.9, 0.9)
    done = run("calibrate", path, table, "--reject", "coverage=0.9")
    assert done.code == 2
    assert "this gives several labels an image" in done.err
