import csv
import errno
import json
import os

import numpy as np
import pytest

from neocog.data.arrays import ArrayDataset
from neocog.data.dataset import DataSplits
from neocog.errors import FormatError, NeocogError, SettingError
from neocog.nn.losses import MeanSquaredError
from neocog.nn.optimizers import Adam
from neocog.train.fit import fit
from neocog.train.history import COLUMNS
from neocog.train.model import load
from neocog.train.runfolder import RunFolder
from neocog.train.source import ArraySource

FAST = Adam(0.05)


def test_names_that_are_taken_get_a_number(tmp_path):
    made = [RunFolder.create("digits", tmp_path / "runs").path.name for _ in range(3)]
    assert made == ["digits", "digits-2", "digits-3"]


def test_names_that_are_no_folders_are_refused(tmp_path):
    for wrong in ("", "..", "a/b", "a\0b"):
        with pytest.raises(SettingError, match="name must be that of a folder"):
            RunFolder.create(wrong, tmp_path)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NeocogError, match=r"it is a file|not a directory"):
        RunFolder.create("digits", tmp_path / "file")
    with pytest.raises(NeocogError, match="there is a file of that name"):
        RunFolder(tmp_path / "file")


def test_a_training_leaves_best_last_and_history(make_model, toy, tmp_path):
    folder = RunFolder(tmp_path)
    model = make_model()
    backwards = ArraySource(toy[0], 1 - toy[1], shuffle=False)
    history = fit(model, ArraySource(*toy), validation=backwards, optimizer=FAST, epochs=5, folder=folder, verbose=0)
    assert load(folder.last).metrics == history.epochs[-1].metrics()
    assert load(folder.best).metrics == history.best.metrics()
    best = load(folder.best, engine="reference").evaluate(toy[0], 1 - toy[1])
    assert best.loss == history.best.val_loss
    rows = list(csv.DictReader(folder.history.open()))
    assert tuple(rows[0]) == COLUMNS
    assert [float(row["val_loss"]) for row in rows] == history.history["val_loss"]
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5]


def test_what_was_not_measured_is_an_empty_cell(make_model, toy, tmp_path):
    folder = RunFolder(tmp_path)
    fit(make_model(), ArraySource(*toy), epochs=1, folder=folder, verbose=0)
    (row,) = csv.DictReader(folder.history.open())
    assert row["val_loss"] == row["val_accuracy"] == ""


def test_what_cannot_be_saved_is_refused_before_the_first_step(make_model, toy, tmp_path):
    class OwnError(MeanSquaredError):
        pass

    folder = RunFolder(tmp_path)
    with pytest.raises(SettingError, match="OwnError cannot be saved"):
        fit(make_model(), ArraySource(*toy), loss=OwnError(), folder=folder, verbose=0)
    with pytest.raises(SettingError, match="must be JSON values"):
        fit(make_model(), ArraySource(*toy), config={"x": object()}, folder=folder, verbose=0)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_the_files_of_the_epoch_before(make_model, toy, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path)
    fit(make_model(), ArraySource(*toy), epochs=1, folder=folder, verbose=0)
    before = folder.last.read_bytes()

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    checkpoint = folder.load_last(engine="reference")
    with pytest.raises(NeocogError, match="the disk is full"):
        fit(checkpoint.model, ArraySource(*toy), resume=checkpoint, epochs=2, folder=folder, verbose=0)
    assert folder.last.read_bytes() == before


def test_a_folder_without_training_says_so(tmp_path):
    with pytest.raises(FormatError, match="no training to resume"):
        RunFolder(tmp_path).load_last()


def test_the_best_weights_come_with_the_checkpoint(make_model, toy, tmp_path):
    folder, backwards = RunFolder(tmp_path), ArraySource(toy[0], 1 - toy[1])
    history = fit(
        make_model(), ArraySource(*toy), validation=backwards, optimizer=FAST, epochs=5, folder=folder, verbose=0
    )
    assert history.best.epoch < 5
    found = folder.load_last(engine="reference").best_parameters
    assert found is not None
    assert (found["0.weight"] == load(folder.best).parameters["0.weight"]).all()
    load(folder.last).save(folder.best)  # of another epoch than the best one
    assert folder.load_last(engine="reference").best_parameters is None


def test_the_configuration_is_json(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_config({"data": "猫", "epochs": 5})
    assert json.loads(folder.config.read_text(encoding="utf-8")) == {"data": "猫", "epochs": 5}
    with pytest.raises(SettingError, match="JSON"):
        folder.write_config({"seed": np.int64(1)})


def test_the_split_names_every_image(tmp_path):
    folder = RunFolder(tmp_path)
    names = ("a,b", 'c"d')
    part = ArrayDataset(np.zeros((2, 4, 4), np.uint8), [0, 1], names, prefix="train")
    other = ArrayDataset(np.zeros((1, 4, 4), np.uint8), [1], names, prefix="test")
    folder.write_split(DataSplits(part, None, other))
    assert list(csv.reader(folder.split.open(newline=""))) == [
        ["path", "label", "split"],
        ["train/0", "a,b", "train"],
        ["train/1", 'c"d', "train"],
        ["test/0", 'c"d', "test"],
    ]
