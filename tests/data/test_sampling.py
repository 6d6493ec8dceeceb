"""Epochs that show as many images of every class."""

from __future__ import annotations

import numpy as np
import pytest

import neocog as nc
from neocog.data.arrays import ArrayDataset
from neocog.data.augment.pipeline import Pipeline
from neocog.data.batches import Batches
from neocog.data.sampling import balanced_tickets
from neocog.errors import SettingError
from neocog.train.source import ArraySource, DataSource

LABELS = np.repeat([0, 1, 2], [50, 8, 3])
IMAGES = np.random.default_rng(0).integers(0, 256, (61, 6, 6, 1), np.uint8)


def tickets(epoch: int = 0, seed: int = 5) -> np.ndarray:
    return balanced_tickets(LABELS, np.arange(61), 61, seed, epoch)


def test_classes_come_equally_often_and_their_images_too() -> None:
    found = tickets()
    assert len(found) == 61
    assert sorted(np.bincount(LABELS[found % 61])) == [20, 20, 21]
    assert len(set(found)) == 61  # no ticket comes twice
    for label in range(3):
        times = np.bincount(found % 61, minlength=61)[label == LABELS]
        assert times.max() - times.min() <= 1


def test_seed_and_epoch_alone_decide_and_no_image_is_left_out_for_ever() -> None:
    np.testing.assert_array_equal(tickets(3), tickets(3))
    assert (tickets(3) != tickets(4)).any()
    assert (tickets(3) != tickets(3, seed=6)).any()
    assert set(np.concatenate([tickets(epoch) for epoch in range(20)]) % 61) == set(range(61))


def test_what_does_not_divide_evenly_goes_to_every_class_in_turn() -> None:
    larger = {int(np.bincount(LABELS[tickets(epoch) % 61]).argmax()) for epoch in range(20)}
    assert larger == {0, 1, 2}


def test_images_with_several_labels_are_refused() -> None:
    with pytest.raises(SettingError, match="one class an image"):
        ArraySource(IMAGES, np.eye(3)[LABELS]).sampled("balanced")


def test_images_in_an_order_that_stays_are_refused() -> None:
    with pytest.raises(SettingError, match="draws an order for every epoch, got shuffle=False"):
        ArraySource(IMAGES, LABELS, shuffle=False).sampled("balanced")


def sources() -> tuple[ArraySource, DataSource]:
    dataset = ArrayDataset(IMAGES, LABELS, ["a", "b", "c"])
    plain = DataSource(Batches(dataset, 16, shuffle=True, seed=5))
    return ArraySource(IMAGES, LABELS, batch_size=16, seed=5), plain


@pytest.mark.parametrize("augment", [False, True])
def test_arrays_and_datasets_give_the_same_batches(augment: bool) -> None:
    pipeline = Pipeline((nc.RandomCrop(2),), 1)
    found = []
    for source in sources():
        made = source.sampled("balanced")
        if augment:
            made = made.augmented(pipeline, 3)
        assert made.images == 61
        batches = list(made.batches(2))
        found.append((np.concatenate([x for x, _ in batches]), np.concatenate([y for _, y in batches])))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
    order = tickets(2) % 61
    np.testing.assert_array_equal(found[0][1], LABELS[order])
    assert (found[0][0] == IMAGES[order]).all() != augment


def test_an_image_that_comes_again_is_changed_in_another_way() -> None:
    source = sources()[0].sampled("balanced").augmented(Pipeline((nc.RandomCrop(2),), 1), 3)
    shown = np.concatenate([x for x, _ in source.batches(0)])
    again = shown[tickets(0) % 61 == 60]  # one of three images of its class, which comes seven times or so
    assert len(again) >= 6
    assert len(np.unique(again.reshape(len(again), -1), axis=0)) > 3


def test_unreadable_images_are_left_out_and_the_epoch_stays_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = ArrayDataset(IMAGES, LABELS, ["a", "b", "c"])
    monkeypatch.setattr(ArrayDataset, "unreadable", {60: "cannot be read"})
    batches = Batches(dataset, 16, shuffle=True, on_error="skip", sampling="balanced")
    assert batches.images == len(batches.order()) == 60
    assert 60 not in batches.order() % 61
    assert sum(len(labels) for _, labels in batches) == 60


def test_a_training_shows_rare_classes_as_often_and_goes_on_to_the_same_bits(tmp_path) -> None:
    from neocog.train.fit import fit
    from neocog.train.runfolder import RunFolder

    def model() -> nc.Model:
        return nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(3)), (6, 6, 1), seed=2, engine="reference")

    seen: list[np.ndarray] = []

    class Kept(ArraySource):
        def batches(self, epoch):
            for x, y in super().batches(epoch):
                seen.append(y)
                yield x, y

    settings = {"sampling": "balanced", "augment": "crop=1", "epochs": 3, "verbose": 0, "batch_size": 16}
    whole, killed, folder = model(), model(), RunFolder(tmp_path)
    fit(whole, Kept(IMAGES, LABELS, batch_size=16, seed=2), **settings)
    assert np.bincount(np.concatenate(seen)).min() >= 3 * 20
    stop = nc.LambdaCallback(on_epoch_end=lambda run, epoch: run.stop("killed"))
    fit(killed, ArraySource(IMAGES, LABELS, batch_size=16, seed=2), folder=folder, callbacks=[stop], **settings)
    checkpoint = folder.load_last(engine="reference")
    assert checkpoint.settings.sampling == "balanced"
    fit(checkpoint.model, ArraySource(IMAGES, LABELS, batch_size=16, seed=2), resume=checkpoint, verbose=0)
    for name, value in whole.parameters.items():
        np.testing.assert_array_equal(checkpoint.model.parameters[name], value)


def test_a_source_that_cannot_choose_is_told_what_it_needs() -> None:
    class Own:
        images = 4

        def batches(self, epoch):
            yield IMAGES[:4], LABELS[:4]

    from neocog.train.fit import fit

    model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(3)), (6, 6, 1), engine="reference")
    with pytest.raises(SettingError, match=r"the batches of a Own cannot be sampled"):
        fit(model, Own(), sampling="balanced", epochs=1, verbose=0)
