"""--views of neocog predict, evaluate and train, and what info and explain say of them."""

from __future__ import annotations

import json

import pytest

import neocog as nc
from app.pictures import write_image
from neocog.app.cli.explain import open_session


@pytest.fixture
def picture(tmp_path):
    return write_image(tmp_path / "a.png", 90)


def test_predict_looks_as_it_is_told_or_as_the_model_was_saved(run, trained_once, picture, tmp_path):
    model, wanted, saved, told = nc.load(trained_once[0] / "model.safetensors"), {}, {}, {}
    other = {"plain": "flip-shift", "flip-shift": "plain"}
    for views in other:
        model.views, path = views, tmp_path / f"{views}.safetensors"
        model.save(path)
        wanted[views] = float(model.predict_proba(picture).max())
        saved[views] = json.loads(run("predict", path, picture, "--json").out)["probability"]
        told[other[views]] = json.loads(run("predict", path, picture, "--views", other[views], "--json").out)[
            "probability"
        ]
    assert saved == told
    # The command plans for a whole batch, and sums in another order than a program for one image, on some processors.
    assert saved == pytest.approx(wanted, abs=1e-6)
    assert len(set(wanted.values())) == 2


def test_a_training_keeps_its_views_and_evaluate_takes_others(run, photos, tmp_path):
    done = run("train", photos, "--epochs", "1", "-o", tmp_path / "run", "--quiet", "--views", "flip-shift")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "run" / "config.json").read_text())["views"] == "flip-shift"
    assert nc.load(tmp_path / "run" / "model.safetensors").views == "flip-shift"
    losses = {
        views: json.loads(run("evaluate", tmp_path / "run", photos, "--json", "-q", "--views", views).out)["loss"]
        for views in ("plain", "flip-shift")
    }
    as_saved = json.loads(run("evaluate", tmp_path / "run", photos, "--json", "-q").out)["loss"]
    assert as_saved == losses["flip-shift"] != losses["plain"]
    assert "views        flip-shift: each image" in run("info", tmp_path / "run").out


def test_an_explanation_says_that_it_is_of_the_image_as_it_is(trained_once, tmp_path, capfd):
    model = nc.load(trained_once[0] / "model.safetensors")
    model.views = "flip-shift"
    model.save(tmp_path / "model.safetensors")
    open_session(tmp_path / "model.safetensors", None, None, "native", None, quiet=False)
    assert "the mean over 6 views of an image; layers are shown at the image as it is" in capfd.readouterr().err


def test_probabilities_that_were_fitted_with_other_views_are_said_to_be(run, trained_once, picture):
    folder = trained_once[0]
    own = nc.load(folder / "model.safetensors").views
    other = "plain" if own != "plain" else "flip"
    told = f"its temperature was fitted with views {own}; neocog calibrate --views {other} fits anew"
    assert told in run("predict", folder, picture, "--views", other).err
    assert "fitted with" not in run("predict", folder, picture, "--views", own).err
    assert "fitted with" not in run("predict", folder, picture, "--views", other, "--quiet").err


def test_other_views_are_refused(run, trained_once, picture):
    done = run("predict", trained_once[0], picture, "--views", "mirror")
    assert done.code == 2
    assert "--views must be plain, flip or flip-shift, got 'mirror'" in done.err
