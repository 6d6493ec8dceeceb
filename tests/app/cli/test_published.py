"""neocog train --recipe airbench94, on a few pictures of the size that it was made for."""

from __future__ import annotations

import json

import numpy as np
import pytest

import neocog as nc
from neocog.app.cli import datasets
from neocog.app.cli.published import all_to_learn_from
from neocog.data.dataset import Source
from neocog.data.sources import read_source


@pytest.fixture
def cifar(tmp_path):
    """A folder as CIFAR-10 comes: 60 training and 20 test images of two classes."""
    folder = tmp_path / "cifar"
    folder.mkdir()
    stream = np.random.default_rng(0)
    for name, images in (("data_batch_1.bin", 60), ("test_batch.bin", 20)):
        labels = np.arange(images) % 10
        pixels = stream.integers(0, 120, (images, 3072)) + 13 * labels[:, None]
        (folder / name).write_bytes(np.hstack([labels[:, None], pixels]).astype(np.uint8).tobytes())
    return folder


def test_the_recipe_trains_on_all_training_images_as_published(run, cifar, tmp_path):
    done = run("train", cifar, "--recipe", "airbench94", "--epochs", "2", "-o", tmp_path / "run", "--json", "-q")
    assert done.code == 0, done.err
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["images"] == {"train": 60, "test": 20}  # none held back: its last epoch counts
    assert (config["model"], config["recipe"], config["views"]) == ("airbench94", "airbench94", "flip-shift")
    assert (config["optimizer"], config["momentum"], config["label_smoothing"]) == ("sgd", 0.85, 0.2)
    model = nc.load(tmp_path / "run" / "model.safetensors")
    assert model.views == "flip-shift"
    assert model.metrics["epoch"] == 2
    filters = model.parameters["0.weight"].reshape(12, 24)
    assert (filters[:, :12] == -filters[:, 12:]).all()  # frozen
    assert (model.parameters["4.weight"] == 1).all()


def test_a_killed_recipe_goes_on_to_the_same_bits(run, cifar, tmp_path):
    words = ("train", cifar, "--recipe", "airbench94", "-q", "--epochs")
    assert run(*words, "3", "-o", tmp_path / "whole").code == 0
    whole = nc.load(tmp_path / "whole" / "model.safetensors").parameters

    def interrupted(self, run, epoch):
        raise KeyboardInterrupt

    # the same training, interrupted behind its first epoch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neocog.train.progress.Progress.on_epoch_end", interrupted)
        assert run(*words, "3", "-o", tmp_path / "half").code != 0
    done = run("train", "--resume", tmp_path / "half", "-q")
    assert done.code == 0, done.err
    again = nc.load(tmp_path / "half" / "model.safetensors").parameters
    assert all((again[name] == value).all() for name, value in whole.items())


@pytest.mark.parametrize("words", [("--optimizer", "sgd"), ("--batch-size", "64"), ("--model", "vgg")])
def test_what_the_recipe_decides_cannot_be_asked_for(run, cifar, words):
    done = run("train", cifar, "--recipe", "airbench94", *words)
    assert done.code == 2
    assert f"{words[0]} cannot be given with --recipe airbench94, which decides it" in done.err


def test_other_images_are_refused(run, photos):
    done = run("train", photos, "--recipe", "airbench94")
    assert done.code == 2
    assert "--recipe airbench94 needs RGB images of 32 x 32 pixels, these are 16 x 16 of 3 channels" in done.err


def test_only_a_published_recipe_takes_validation_images_when_it_goes_on(run, cifar, tmp_path):
    assert run("train", cifar, "--model", "lenet5", "--epochs", "1", "-o", tmp_path / "run", "-q").code == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["images"]["validation"] > 0
    assert run("train", "--resume", tmp_path / "run", "--epochs", "2", "-q").code == 0
    losses = [row.split(",") for row in (tmp_path / "run" / "history.csv").read_text().splitlines()]
    column = losses[0].index("val_loss")
    assert all(row[column] for row in losses[1:])
    assert len(losses) == 3


def test_without_a_test_part_validation_images_are_held_back_as_ever(cifar):
    whole = read_source(str(cifar))
    for source, kept in ((whole, False), (Source(whole.name, whole.kind, train=whole.train), True)):
        splits = datasets.split(source, quiet=True)
        assert splits.validation is not None
        assert (all_to_learn_from(source, splits).validation is not None) == kept


def test_an_unknown_recipe_is_told_which_there_are(run, photos):
    done = run("train", photos, "--recipe", "airbench")
    assert done.code == 2
    assert done.err == "error: --recipe must be airbench94, got 'airbench'\n  hint: did you mean airbench94?\n"
