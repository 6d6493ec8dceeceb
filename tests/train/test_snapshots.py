"""filters.safetensors: what it keeps, for how long, and that training does not notice."""

import errno
import json
from pathlib import Path

import numpy as np
import pytest

from neocog.errors import FormatError, NeocogError
from neocog.model.files import read_tensor_file, tensor_bytes
from neocog.nn.blocks import Sequential
from neocog.nn.graph import trace
from neocog.nn.layers import Conv2d, Flatten, Linear, MaxPool2d, ReLU
from neocog.nn.zoo import article, photo
from neocog.train.callbacks import Callback
from neocog.train.fit import fit
from neocog.train.runfolder import RunFolder
from neocog.train.snapshots import (
    MOST_EPOCHS,
    FilterSnapshots,
    kept_epochs,
    kept_layers,
    load_snapshots,
)
from neocog.train.source import ArraySource

TWO = Sequential(Conv2d(3, 3, padding=1), ReLU(), Sequential(Conv2d(2, (2, 3))), MaxPool2d(2), Flatten(), Linear(2))


class Weights(Callback):
    """Note the weights of a layer at the beginning of each epoch, and at the end."""

    def __init__(self, name):
        self.name, self.seen = name, []

    def on_train_begin(self, run):
        self.seen.append(run.model.parameters[self.name])

    def on_epoch_end(self, run, epoch):
        self.seen.append(run.model.parameters[self.name])


def test_filters_are_kept_from_before_training_to_the_last_epoch(make_model, toy, tmp_path):
    folder = RunFolder(tmp_path)
    first, second = Weights("0.weight"), Weights("2.0.weight")
    fit(make_model(TWO), ArraySource(*toy), epochs=3, folder=folder, callbacks=[first, second], verbose=0)
    found = load_snapshots(folder.filters)
    assert found.epochs == (0, 1, 2, 3)
    assert list(found.filters) == ["0", "2.0"]
    assert found.filters["0"].shape == (4, 3, 3, 1, 3)
    assert found.filters["2.0"].shape == (4, 2, 3, 3, 2)
    assert np.array_equal(found.filters["0"], np.stack(first.seen))
    assert np.array_equal(found.filters["2.0"], np.stack(second.seen))
    content = read_tensor_file(folder.filters)
    assert content.document == {"format": 1, "layers": ["0", "2.0"], "epochs": [0, 1, 2, 3]}
    assert set(content.tensors) == {f"{epoch}/{layer}.weight" for epoch in range(4) for layer in ("0", "2.0")}


def test_the_run_folder_changes_no_bit_of_the_training(make_model, toy, tmp_path):
    with_folder, without = make_model(TWO, engine="native"), make_model(TWO, engine="native")
    fit(with_folder, ArraySource(*toy), epochs=3, folder=RunFolder(tmp_path), verbose=0)
    fit(without, ArraySource(*toy), epochs=3, verbose=0)
    assert all(without.parameters[name].tobytes() == value.tobytes() for name, value in with_folder.parameters.items())


@pytest.mark.parametrize(
    ("net", "shape", "names"),
    [
        (article(), (28, 28, 1), ["0"]),  # the second holds 72 KiB
        (photo(), (96, 96, 3), ["0"]),
        (TWO, (6, 6, 1), ["0", "2.0"]),
        (Sequential(Conv2d(8, 3), Conv2d(8, 3), Conv2d(8, 3), Flatten()), (9, 9, 1), ["0", "1"]),
        (Sequential(Conv2d(64, 16), Conv2d(8, 1), Flatten()), (20, 20, 2), ["0"]),  # 128 KiB, then 2
        (Sequential(Conv2d(128, 32), Conv2d(8, 1), Flatten()), (40, 40, 2), ["0"]),  # 1 MiB
        (Sequential(Conv2d(129, 32), Conv2d(8, 1), Flatten()), (40, 40, 2), []),
        (Sequential(Flatten(), Linear(2)), (3, 3, 1), []),
    ],
)
def test_the_first_layers_are_kept_while_they_are_small(net, shape, names):
    assert list(kept_layers(trace(net, shape))) == names


def test_of_many_epochs_every_second_or_fourth_stays_and_the_latest():
    assert kept_epochs(range(64)) == list(range(64))
    assert kept_epochs(range(65)) == list(range(0, 65, 2))
    assert kept_epochs(range(66)) == [*range(0, 65, 2), 65]
    assert kept_epochs(range(130)) == [*range(0, 129, 4), 129]
    assert kept_epochs([7, 8, 9, 200]) == [8, 200]
    assert kept_epochs([10**6]) == [10**6]
    grown: list[int] = []
    for epoch in range(1000):
        grown = kept_epochs([*grown, epoch])
        assert grown == kept_epochs(range(epoch + 1))
        assert len(grown) <= MOST_EPOCHS
        assert (grown[0], grown[-1]) == (0, epoch)


@pytest.mark.parametrize("done", [3, 63, 64, 65])
def test_an_epoch_that_comes_again_is_replaced(make_model, tmp_path, done):
    def run(path, kills):
        model = make_model(TWO)
        values = [make_model(TWO, seed=seed).parameters for seed in range(done + 3)]
        snapshots, epoch = FilterSnapshots(path, model, 0), 0
        while epoch < done + 2:
            epoch += 1
            model.load_parameters({k: v + 1 for k, v in values[epoch].items()} if epoch in kills else values[epoch])
            snapshots.save(model, epoch)
            if epoch in kills:  # before the checkpoint of this epoch was written
                kills, epoch = kills - {epoch}, epoch - 1
                model.load_parameters(values[epoch])
                snapshots = FilterSnapshots(path, model, epoch)
        return path.read_bytes()

    assert run(tmp_path / "whole", set()) == run(tmp_path / "killed", {done, done + 1})


def test_a_resumed_training_goes_on_with_the_same_file(make_model, toy, tmp_path):
    train, whole, cut = ArraySource(*toy), RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "cut")
    fit(make_model(TWO), train, epochs=4, folder=whole, verbose=0)

    class Stop(Callback):
        def on_epoch_end(self, run, epoch):
            if epoch.epoch == 2:
                run.stop("enough")

    fit(make_model(TWO), train, epochs=4, folder=cut, callbacks=[Stop()], verbose=0)
    assert load_snapshots(cut.filters).epochs == (0, 1, 2)
    checkpoint = cut.load_last(engine="reference")
    fit(checkpoint.model, train, resume=checkpoint, folder=cut, verbose=0)
    assert cut.filters.read_bytes() == whole.filters.read_bytes()


@pytest.mark.parametrize("damage", ["missing", "damaged", "of another network"])
def test_without_a_usable_file_a_resumed_training_begins_a_new_one(make_model, toy, tmp_path, damage):
    train, folder, other = ArraySource(*toy), RunFolder(tmp_path / "a"), RunFolder(tmp_path / "b")
    fit(make_model(TWO), train, epochs=2, folder=folder, verbose=0)
    fit(make_model(), train, epochs=2, folder=other, verbose=0)
    if damage == "missing":
        folder.filters.unlink()
    else:
        folder.filters.write_bytes(other.filters.read_bytes() if damage.startswith("of") else b"nothing")
    checkpoint = folder.load_last(engine="reference")
    fit(checkpoint.model, train, epochs=3, resume=checkpoint, folder=folder, verbose=0)
    found = load_snapshots(folder.filters)
    assert (found.epochs, list(found.filters)) == ((2, 3), ["0", "2.0"])


def test_a_new_training_replaces_the_file_with_its_first_epoch(make_model, toy, tmp_path):
    train, folder = ArraySource(*toy), RunFolder(tmp_path)
    fit(make_model(TWO), train, epochs=3, folder=folder, verbose=0)
    before = folder.filters.read_bytes()

    class Fail(Callback):
        def on_batch_begin(self, run):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(make_model(), train, epochs=1, folder=folder, callbacks=[Fail()], verbose=0)
    assert folder.filters.read_bytes() == before
    fit(make_model(), train, epochs=1, folder=folder, verbose=0)
    assert load_snapshots(folder.filters).epochs == (0, 1)
    fit(make_model(Sequential(Flatten(), Linear(2))), train, epochs=1, folder=folder, verbose=0)
    assert not folder.filters.exists()


def test_a_full_disk_leaves_the_file_as_it_was(make_model, tmp_path, monkeypatch):
    model, path = make_model(TWO), tmp_path / "filters.safetensors"
    snapshots = FilterSnapshots(path, model, 0)
    snapshots.save(model, 1)
    before = path.read_bytes()

    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(NeocogError, match="the disk is full"):
        snapshots.save(model, 2)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


GOOD = {"format": 1, "layers": ["0"], "epochs": [0, 2]}
TENSORS = {"0/0.weight": np.zeros((3, 3, 1, 2)), "2/0.weight": np.ones((3, 3, 1, 2))}


@pytest.mark.parametrize(
    ("document", "tensors", "message"),
    [
        ({"format": 2}, {}, "format must be 1, got 2"),
        ({"format": True}, {}, "format must be 1"),
        ({"class_names": []}, {}, "this is a model"),
        ({"more": 1}, {}, "unknown: 'more'"),
        ({"epochs": []}, {}, "epochs must be a list that is not empty"),
        ({"epochs": [2, 0]}, {}, "epochs must rise"),
        ({"epochs": [0, 0]}, {}, "epochs must rise"),
        ({"epochs": [0, -2]}, {}, "must be an integer"),
        ({"epochs": {"0": 2}}, {}, "epochs must be a list"),
        ({"epochs": [0, 1]}, {}, "1/0.weight"),
        ({"layers": ["0", 1]}, {}, "layers must be a list of names"),
        ({"layers": ["0", "0"]}, {}, "layers must be a list of names"),
        ({"layers": ["1"]}, {}, "not those of its epochs and layers"),
        ({}, {"3/0.weight": np.zeros(1)}, "3/0.weight"),
        ({}, {"2/0.weight": np.zeros((3, 3, 1, 1))}, "must have one shape of 4 sides"),
        ({}, {"2/0.weight": np.zeros(4), "0/0.weight": np.zeros(4)}, "must have one shape of 4 sides"),
    ],
)
def test_what_is_no_file_of_snapshots_is_refused(tmp_path, document, tensors, message):
    path = tmp_path / "filters.safetensors"
    path.write_bytes(tensor_bytes(GOOD, TENSORS))
    assert load_snapshots(path).filters["0"].sum() == 18
    path.write_bytes(tensor_bytes({**GOOD, **document}, {**TENSORS, **tensors}))
    with pytest.raises(FormatError) as caught:
        load_snapshots(path)
    assert message in str(caught.value)
    assert str(path) in caught.value.message


def test_the_history_reads_back(make_model, toy, tmp_path):
    folder = RunFolder(tmp_path)
    assert folder.read_history() == []
    history = fit(make_model(), ArraySource(*toy), epochs=2, folder=folder, verbose=0)
    rows = folder.read_history()
    assert [row["epoch"] for row in rows] == [1, 2]
    assert [row["loss"] for row in rows] == history.history["loss"]
    assert rows[0]["val_loss"] is None
    json.dumps(rows)
    for wrong in ("", "epoch,loss\n1,2\n", folder.history.read_text() + "3,x,,,,,,\n"):
        folder.history.write_text(wrong)
        with pytest.raises(FormatError, match=r"history\.csv cannot be read"):
            folder.read_history()
