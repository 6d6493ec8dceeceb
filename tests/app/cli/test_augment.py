"""`--augment` of `neocog train`, and `--preview` of `neocog check`."""

from __future__ import annotations

import json

import numpy as np
from PIL import Image

from neocog.train.runfolder import RunFolder

QUICK = ("--epochs", "2", "--batch-size", "8", "--quiet")


def test_a_training_changes_images_and_goes_on_doing_so(run, photos, tmp_path):
    text = "flip,resized-crop,jitter:hue=0.1,mixup"
    whole, half = tmp_path / "whole", tmp_path / "half"
    assert run("train", photos, "--augment", text, *QUICK, "-o", whole).code == 0
    assert json.loads((whole / "config.json").read_text())["augment"] == text
    assert run("train", photos, "--augment", text, *QUICK, "-o", half).code == 0
    longer = ("--epochs", "3", "--quiet", "--resume")
    assert run("train", *longer, whole).code == 0
    assert run("train", *longer, half).code == 0
    one, other = (RunFolder(folder).load_last().model.state_dict() for folder in (whole, half))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    plain = tmp_path / "plain"
    assert run("train", photos, "--augment", "none", *QUICK, "-o", plain).code == 0
    assert json.loads((plain / "config.json").read_text())["augment"] == "none"


def test_what_cannot_be_done_is_told(run, photos, tmp_path):
    done = run("train", photos, "--augment", "flop", "-o", tmp_path / "out")
    assert done.code == 2
    assert "--augment knows no 'flop'" in done.err
    assert "hint: did you mean flip?" in done.err
    done = run("train", photos, "--augment", "crop=-3", "-o", tmp_path / "out")
    assert done.code == 2
    assert done.err.startswith("error: --augment: RandomCrop: padding must be an integer of at least 1, got -3")
    done = run("train", photos, "--augment", "crop=100", *QUICK, "-o", tmp_path / "out")
    assert done.code == 2
    assert "a border of 100 reflected pixels needs images of at least 101 x 101 pixels" in done.err
    assert not (tmp_path / "out").exists()
    assert run("train", photos, *QUICK, "-o", tmp_path / "out").code == 0
    done = run("train", "--resume", tmp_path / "out", "--augment", "flip")
    assert done.code == 2
    assert "--augment cannot be changed with --resume" in done.err


def test_check_writes_a_preview(run, photos, tmp_path):
    picture = tmp_path / "sheet.png"
    done = run("check", photos, "--preview", picture, "--augment", "flip,crop=2", "--img-size", "64")
    assert done.code == 0
    assert f"{picture} shows what a network sees" in done.err
    with Image.open(picture) as image:
        assert image.format == "PNG"
        wide = image.width
    done = run("check", photos, "--preview", picture, "--augment", "none", "--img-size", "64", "--quiet")
    assert done.err == ""
    with Image.open(picture) as image:
        assert image.width < wide / 4


def test_places_that_a_preview_cannot_have_are_told_first(run, photos, tmp_path):
    done = run("check", photos, "--augment", "flip")
    assert done.code == 2
    assert "there is no --preview" in done.err
    done = run("check", photos, "--preview", tmp_path / "a.jpg")
    assert done.code == 2
    assert "a.png" in done.err
    assert run("check", photos, "--preview", tmp_path / "nowhere" / "a.png").code == 2
