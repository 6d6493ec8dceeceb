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
from neocog.nn.zoo import article, photo, resnet18, vgg11
from neocog.train.callbacks import Callback
from neocog.train.fit import fit
from neocog.train.model import Model
from neocog.train.runfolder import RunFolder
from neocog.train.snapshots import (
    MAP_BYTES,
    MOST_EPOCHS,
    WEIGHT_BYTES,
    FilterSnapshots,
    is_kept,
    kept_filters,
    kept_maps,
    load_snapshots,
    map_step,
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


def test_all_filters_and_what_they_see_of_an_image_are_kept_from_before_training_on(make_model, toy, tmp_path):
    folder = RunFolder(tmp_path)
    model, first, second = make_model(TWO), Weights("0.weight"), Weights("2.0.weight")
    image = toy[0][:1] / np.float32(255)
    before = model.outputs(image, ["0"])[0][0]
    fit(model, ArraySource(*toy, shuffle=False), epochs=5, folder=folder, callbacks=[first, second], verbose=0)
    found = load_snapshots(folder.filters)
    assert found.epochs == (0, 1, 2, 3, 4)
    assert list(found.filters) == ["0", "2.0"]
    assert np.array_equal(found.filters["0"], np.stack(first.seen[:5]))
    assert np.array_equal(found.filters["2.0"], np.stack(second.seen[:5]))
    assert np.array_equal(found.image, image[0])
    assert np.array_equal(found.maps["0"][0], before)
    assert found.maps["2.0"].shape == (5, *model.outputs(toy[0][:1], ["2.0"])[2].shape[1:])
    content = read_tensor_file(folder.filters)
    layers = ["0", "2.0"]
    assert content.document == {"format": 2, "layers": layers, "epochs": [0, 1, 2, 3, 4], "maps": layers}
    each = {f"{epoch}/{layer}.{kind}" for epoch in range(5) for layer in layers for kind in ("weight", "maps")}
    assert set(content.tensors) == {*each, "image"}


def test_the_image_is_one_of_the_validation_images_where_there_are_any(make_model, toy, tmp_path):
    folder, validation = RunFolder(tmp_path), ArraySource(toy[0][3:5], toy[1][3:5], shuffle=False)
    fit(make_model(TWO), ArraySource(*toy), validation=validation, epochs=1, folder=folder, verbose=0)
    assert np.array_equal(load_snapshots(folder.filters).image, toy[0][3] / np.float32(255))


def test_the_run_folder_changes_no_bit_of_the_training(make_model, toy, tmp_path):
    with_folder, without = make_model(TWO, engine="native"), make_model(TWO, engine="native")
    fit(with_folder, ArraySource(*toy), epochs=3, folder=RunFolder(tmp_path), verbose=0)
    fit(without, ArraySource(*toy), epochs=3, verbose=0)
    assert all(without.parameters[name].tobytes() == value.tobytes() for name, value in with_folder.parameters.items())


@pytest.mark.parametrize(
    ("net", "shape"),
    [(article(), (28, 28, 1)), (photo(), (96, 96, 3)), (resnet18(10), (224, 224, 3)), (vgg11(10), (64, 64, 3))],
)
def test_of_every_convolution_something_is_kept_within_the_bytes(net, shape):
    graph = trace(net, shape)
    weights = {node.name: node for node in graph.nodes if isinstance(node.layer, Conv2d)}
    filters, maps = kept_filters(graph), kept_maps(graph)
    assert list(filters) == list(maps) == list(weights)
    sizes = {name: 4 * int(np.prod(weights[name].weight_shape[:-1])) for name in weights}
    assert sum(sizes[name] * count for name, count in filters.items()) <= WEIGHT_BYTES
    cells = {}
    for name, node in weights.items():
        step = map_step((node.output.height, node.output.width))
        cells[name] = len(range(0, node.output.height, step)) * len(range(0, node.output.width, step))
    assert sum(4 * cells[name] * count for name, count in maps.items()) <= MAP_BYTES
    # nothing is left out for which there is room
    spare = WEIGHT_BYTES - sum(sizes[name] * count for name, count in filters.items())
    cut = [sizes[name] for name, node in weights.items() if filters[name] < node.output.channels]
    assert not cut or spare < sum(cut)


def test_a_filter_larger_than_the_room_is_left_out():
    graph = trace(Sequential(Conv2d(1, 600), Conv2d(8, 1), Flatten()), (600, 600, 1))
    assert kept_filters(graph) == {"1": 8}
    assert kept_filters(trace(Sequential(Flatten(), Linear(2)), (3, 3, 1))) == {}


def test_long_maps_are_kept_cell_by_second_cell(make_model, tmp_path):
    model = Model(Sequential(Conv2d(2, 1), Flatten(), Linear(2)), (100, 40, 1), engine="reference")
    image = np.random.default_rng(0).random((1, 100, 40, 1), np.float32)
    snapshots = FilterSnapshots(tmp_path / "filters.safetensors", model, 0, image)
    snapshots.save(model, 1)
    maps = load_snapshots(tmp_path / "filters.safetensors").maps["0"]
    assert np.array_equal(maps[1], model.outputs(image, [0])[0][0, ::2, ::2])


def test_epochs_are_kept_often_at_first_and_seldom_later(make_model, tmp_path):
    assert [epoch for epoch in range(100) if is_kept(epoch)] == [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96]
    assert not is_kept(-1)
    model, path = make_model(TWO), tmp_path / "filters.safetensors"
    snapshots = FilterSnapshots(path, model, 7)  # another training came before
    for epoch in (8, 9, 10, 11, 12):
        snapshots.save(model, epoch)
    assert load_snapshots(path).epochs == (7, 8, 9, 10, 11)
    for power in range(3, 40):
        snapshots.save(model, 7 + 2**power)
    assert len(load_snapshots(path).epochs) == MOST_EPOCHS


@pytest.mark.parametrize("done", [3, 6, 7, 8])
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


GOOD = {"format": 2, "layers": ["0"], "epochs": [0, 2], "maps": []}
TENSORS = {"0/0.weight": np.zeros((3, 3, 1, 2)), "2/0.weight": np.ones((3, 3, 1, 2))}


@pytest.mark.parametrize(
    ("document", "tensors", "message"),
    [
        ({"format": 3}, {}, "format must be 2, got 3"),
        ({"format": 1}, {}, "an older neocog wrote this file"),
        ({"format": True}, {}, "format must be 2"),
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
        ({"maps": ["1"]}, {}, "maps must be those of some of the layers"),
        ({"maps": ["0"]}, {}, "0/0.maps"),
        ({}, {"image": np.zeros((2, 2, 1))}, "image"),
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
