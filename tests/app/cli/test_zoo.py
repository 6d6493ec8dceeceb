"""`neocog models`, and what `neocog info` says of a network by its name."""

from __future__ import annotations

import json

import pytest

from neocog.nn.zoo import MODELS


def test_all_known_networks_are_listed(run):
    done = run("models")
    assert done.code == 0, done.err
    header, *lines = done.out.splitlines()
    assert header.split() == ["name", "made", "for", "classes", "parameters", "multiply-adds"]
    assert [line.split()[0] for line in lines] == list(MODELS)
    row = next(line for line in lines if line.startswith("resnet18 "))
    assert row.split() == ["resnet18", "224", "x", "224", "RGB", "1,000", "11,689,512", "1,814,073,344"]
    assert done.err == ""


def test_some_are_listed_to_programs(run):
    told = json.loads(run("models", "lenet5", "resnet20", "--json").out)
    assert [line["name"] for line in told] == ["lenet5", "resnet20"]
    assert told[0] == {
        "name": "lenet5",
        "height": 28,
        "width": 28,
        "channels": 1,
        "classes": 10,
        "parameters": 61_706,
        "multiply_adds": 416_520,
        "images_per_second": None,
    }


def test_speed_is_measured_where_it_is_asked_for(run):
    told = json.loads(run("models", "lenet5", "--speed", "--batch-size", "2", "--threads", "1", "--json").out)
    assert told[0]["images_per_second"] > 1
    table = run("models", "lenet5", "--speed", "-b", "2", "--quiet").out.splitlines()
    assert table[0].split()[-1] == "images/s"
    assert float(table[1].split()[-1].replace(",", "")) > 1


@pytest.mark.parametrize("flag", ["--batch-size", "--threads"])
def test_what_only_a_measurement_needs_is_refused_without_one(run, flag):
    done = run("models", "lenet5", flag, "2")
    assert (done.code, done.out) == (2, "")
    assert f"{flag} only applies to --speed" in done.err
    assert f"hint: add --speed, or leave {flag} out" in done.err


@pytest.mark.parametrize(("word", "guess"), [("renset18", "resnet18"), ("lenet", "lenet5")])
def test_a_near_miss_gets_a_suggestion(run, word, guess):
    done = run("models", word)
    assert (done.code, done.out) == (2, "")
    assert f"did you mean {guess}?" in done.err


def test_a_network_is_described_by_its_name(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run("info", "resnet20")
    assert done.code == 0, done.err
    for text in ("32 x 32 pixels, RGB", "--model resnet20", "layer3.2.conv2", "total: 272,474 parameters"):
        assert text in done.out
    told = json.loads(run("info", "resnet20", "--json").out)
    assert (told["kind"], told["name"], told["parameters"]) == ("network", "resnet20", 272_474)
    assert len(told["layers"]) == 72


def test_a_folder_of_a_networks_name_is_data(run, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos.rename(tmp_path / "vgg")
    assert "image folder" in run("info", "vgg").out
