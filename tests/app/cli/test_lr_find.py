"""`neocog lr-find`: what it suggests, draws and prints; and that it is the same as in Python."""

import json
import shlex
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import neocog as nc
from app.pictures import write_photos
from neocog.nn.shapes import ImageShape
from neocog.nn.zoo import make_net
from neocog.train.pictures import channel_statistics, choose_size

SHORT = ("--batch-size", "8", "--steps", "30", "--low", "1e-4", "--high", "1")


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos")


def test_it_suggests_a_rate_draws_the_curve_and_names_the_command_that_uses_it(run, photos, tmp_path):
    picture = tmp_path / "rates.svg"
    done = run("lr-find", photos, *SHORT, "--optimizer", "sgd", "--img-size", "16x12", "-o", picture, "--quiet")
    assert done.code == 0, done.err
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    told = dict(line.split(maxsplit=1) for line in done.out.splitlines()[-4:])
    assert told["curve"] == str(picture)
    assert float(told["because"].split()[3].strip(",")) == pytest.approx(10 * float(told["suggested"]), rel=0.06)
    words = shlex.split(told["next"])
    assert words[:5] == ["neocog", "train", str(photos), "--lr", told["suggested"]]
    assert words[5:] == ["--batch-size", "8", "--img-size", "16x12", "--optimizer", "sgd"]
    trained = run(*words[1:], "--epochs", "1", "-o", tmp_path / "run", "--quiet", "--json")
    assert trained.code == 0, trained.err
    assert json.loads(trained.out)["input"] == [16, 12, 3]


def test_the_bars_are_as_long_as_the_losses_are_high(run, photos):
    done = run("lr-find", photos, *SHORT, "--quiet")
    bars = {}
    for line in done.out.split("\n\n")[0].splitlines()[1:]:
        rate, loss, bar = line.split()
        bars[float(rate)] = (float(loss), 0 if bar == "least" else len(bar))
    assert len(bars) >= 10
    assert list(bars) == sorted(bars)
    losses = sorted(bars.values())
    assert losses[0][1] == 0
    assert [length for _, length in losses] == sorted(length for _, length in losses)
    assert losses[-1][1] == 40


def test_programs_get_every_step(run, photos):
    told = json.loads(run("lr-find", photos, *SHORT, "--json", "--quiet").out)
    assert told["rates"][0] == 1e-4
    assert len(told["rates"]) == len(told["losses"]) == len(told["smoothed"]) <= 30
    assert told["suggested"] == told["best"] / 10
    assert told["best"] == told["rates"][told["smoothed"].index(min(told["smoothed"]))]
    again = json.loads(run("lr-find", photos, *SHORT, "--json", "--quiet").out)
    assert again == told


def test_it_is_the_curve_that_python_finds(run):
    from neocog.app.cli.datasets import open_source, split

    told = json.loads(run("lr-find", "digits", "--steps", "12", "--json", "--quiet").out)
    train = split(open_source("digits"), quiet=True).train
    size = choose_size(train)
    mean, std = channel_statistics(train, size)
    net = make_net("auto", ImageShape(*size.shape), 10)
    model = nc.Model(net, size.shape, train.class_names, mean=mean, std=std)
    images = train.read(np.arange(len(train)), size)[0]
    chosen = {"optimizer": nc.AdamW(0.003, weight_decay=0.05), "loss": nc.CrossEntropy(0.1), "augment": "crop=1"}
    curve = model.lr_find(images, train.labels, steps=12, **chosen)
    assert told["losses"] == pytest.approx(curve.losses, rel=1e-5)
    assert told["suggested"] == curve.suggested


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--low", "1", "--high", "0.1"), 2, "--low must be below --high, got 1 and 0.1"),
        (("--steps", "1"), 2, "--steps must be 2 or more, got 1"),
        (("--optimizer", "muno"), 2, "did you mean muon?"),
        (("--epochs", "3"), 2, "--epochs"),
        (("--model", "resnet21"), 2, "did you mean resnet20?"),
        (("--class-weights", "balanced", "--loss", "mean-squared-error"), 2, "--class-weights does not apply"),
    ],
)
def test_what_cannot_be_is_said(run, photos, words, code, said):
    done = run("lr-find", photos, *words, "--quiet")
    assert said in done.err
    assert done.code == code
    assert done.out == ""


def test_a_place_that_is_not_there_is_told_before_the_work(run, tmp_path):
    done = run("lr-find", tmp_path / "no data", "-o", tmp_path / "missing" / "rates.svg")
    assert done.code == 2
    assert "there is no folder" in done.err
    assert "to write rates.svg into" in done.err
