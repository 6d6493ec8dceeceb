"""A run keeps the parts that it began with: split.csv says where each image went, whatever rule divided them."""

from __future__ import annotations

import json

import pytest

from neocog.app.cli import datasets
from neocog.errors import FormatError
from neocog.train.runfolder import read_split


@pytest.fixture
def other_rule(run, photos, tmp_path, monkeypatch):
    """A run whose images were divided by another rule than today's: another seed stands for it."""
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "SPLIT_SEED", 7)
        assert run("train", photos, "epochs=1", "--batch-size", "8", "-o", tmp_path / "run").code == 0
    return tmp_path / "run"


def test_a_training_goes_on_with_the_parts_that_it_began_with(run, photos, other_rule):
    before = read_split(other_rule / "split.csv")
    done = run("train", photos, "--resume", other_rule, "epochs=2", "--json")
    assert done.code == 0
    assert "the images have changed" not in done.err
    assert json.loads(done.out)["images"] == sum(part == "test" for part in before.values())
    plain = datasets.split(datasets.open_source(str(photos)))
    assert {name: part for part, data in plain.items() for name in data.identifiers} != before


def test_its_parts_are_measured_as_they_were(run, photos, other_rule):
    told = json.loads(run("evaluate", other_rule, photos, "--split", "test", "--json").out)
    assert told["learnt_from"] == 0
    validation = json.loads(run("evaluate", other_rule / "model.safetensors", photos, "--split", "val", "--json").out)
    recorded = read_split(other_rule / "split.csv")
    assert validation["images"] == validation["learnt_from"] == sum(p == "validation" for p in recorded.values())


def test_a_split_that_is_none_is_refused(tmp_path):
    assert read_split(tmp_path / "split.csv") == {}
    for text, message in (
        ("a,b\n", "columns must be path, label, split"),
        ("", "columns must be path, label, split"),
        ("path,label,split\na.png,a,nowhere\n", "one of train, validation, test"),
    ):
        (tmp_path / "split.csv").write_text(text)
        with pytest.raises(FormatError, match=message):
            read_split(tmp_path / "split.csv")
