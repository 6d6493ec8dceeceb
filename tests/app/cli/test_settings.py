"""The flags of `neocog train` that training settings declare for themselves."""

import json

import pytest

import neocog as nc
from neocog.app.cli.settings import asked_settings
from neocog.app.cli.train import command
from neocog.train.runfolder import RunFolder

QUICK = ("--model", "article", "--epochs", "1", "--batch-size", "8", "--quiet")


def test_every_flag_is_in_the_help_and_in_the_config(run, photos, tmp_path):
    shown = run("train", "--help").out
    run("train", photos, *QUICK, "-o", tmp_path / "out")
    config = json.loads((tmp_path / "out/config.json").read_text())
    for _, _, flag in asked_settings():
        assert f"--{flag.name}" in shown
        assert flag.key in config
    assert (config["epochs"], config["batch_size"], config["seed"], config["time"]) == (1, 8, 0, None)


def test_no_flag_of_a_setting_stands_beside_another_of_its_name():
    names = [parameter.name for parameter in command.params]
    assert len(names) == len(set(names))


def test_frozen_layers_stay_as_they_were(run, photos, tmp_path):
    done = run("train", photos, *QUICK, "--freeze", "0, *.bias", "--seed", "3", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    model = nc.load(tmp_path / "out/last.safetensors")
    fresh = nc.Model(model.net, model.input_shape, model.class_names, seed=3)
    same = {name for name, value in model.parameters.items() if (value == fresh.parameters[name]).all()}
    assert same == {name for name in fresh.parameters if name.startswith("0.") or name.endswith(".bias")}
    assert RunFolder(tmp_path / "out").load_last().settings.freeze == ("0", "*.bias")


@pytest.mark.parametrize(
    ("value", "message"), [("99", "no parameter matches '99'"), ("0,,1", "must be names with commas")]
)
def test_layers_that_are_not_there_are_told_before_images_are_read(run, photos, tmp_path, value, message):
    done = run("train", photos, *QUICK, "--freeze", value, "-o", tmp_path / "out")
    assert done.code in (1, 2)
    assert message in done.err
    assert not (tmp_path / "out").exists()


def test_what_is_frozen_cannot_change_when_a_training_goes_on(run, photos, tmp_path):
    assert run("train", photos, *QUICK, "-o", tmp_path / "out").code == 0
    done = run("train", "--resume", tmp_path / "out", "--epochs", "2", "--freeze", "0")
    assert done.code == 2
    assert "--freeze cannot be changed with --resume" in done.err


def test_a_running_average_is_measured_and_kept(run, photos, tmp_path):
    assert run("train", photos, *QUICK, "--ema", "0.9", "-o", tmp_path / "out").code == 0
    assert json.loads((tmp_path / "out/config.json").read_text())["ema"] == 0.9
    kept = RunFolder(tmp_path / "out").load_last()
    assert kept.settings.ema == 0.9
    best = nc.load(tmp_path / "out/model.safetensors").parameters
    assert all((best[name] == value).all() for name, value in kept.measured().items())
    assert any((best[name] != value).any() for name, value in kept.model.parameters.items())
