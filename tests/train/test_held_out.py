"""A share of every class is held out, by content."""

from __future__ import annotations

import numpy as np
import pytest

from neocog.errors import SettingError
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError
from neocog.train.held_out import split_off


def drawn(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 4, 1), np.uint8)


def test_a_share_is_held_out_of_every_class_by_the_seed():
    images, labels = drawn(100), np.repeat([0, 1], [80, 20])
    chosen, rest = split_off(images, labels, 0.25, 1, CrossEntropy())
    assert np.bincount(labels[chosen]).tolist() == [20, 5]
    assert sorted([*chosen, *rest]) == list(range(100))
    assert (split_off(images, labels, 0.25, 1, CrossEntropy())[0] == chosen).all()
    assert (split_off(images, labels, 0.25, 2, CrossEntropy())[0] != chosen).any()


def test_copies_of_an_image_stay_on_one_side_whatever_their_labels():
    images = np.concatenate([drawn(30)] * 3)
    labels = np.arange(90) % 2
    chosen, rest = split_off(images, labels, 0.3, 0, CrossEntropy())
    assert set(chosen % 30).isdisjoint(rest % 30)
    assert len(chosen) == 3 * len(set(chosen % 30))


def test_what_no_image_could_be_held_out_of_is_refused():
    images = drawn(2)
    with pytest.raises(SettingError, match="validation_split must leave images on both sides"):
        split_off(images, np.array([0, 1]), 0.5, 0, CrossEntropy())  # each class needs its only image
    with pytest.raises(SettingError, match="validation_split must leave images on both sides"):
        split_off(images[[0, 0, 0]], np.zeros(3, np.int64), 0.5, 0, CrossEntropy())


@pytest.mark.parametrize(
    ("labels", "loss", "classes"),
    [
        (np.eye(2)[np.arange(40) % 2] * 0.8 + 0.1, CrossEntropy(), np.arange(40) % 2),  # shares of classes
        (np.arange(40)[:, None] % 4 == 0, BinaryCrossEntropy(), (np.arange(40) % 4 == 0).astype(int)),
        (np.random.default_rng(1).random((40, 3)), MeanSquaredError(), np.zeros(40, int)),
        (np.zeros((40, 4, 4), np.int64), CrossEntropy(), np.zeros(40, int)),  # of pixels
    ],
)
def test_labels_of_any_kind_can_be_split(labels, loss, classes):
    chosen, rest = split_off(drawn(40), labels, 0.2, 0, loss)
    assert sorted([*chosen, *rest]) == list(range(40))
    for label in np.unique(classes):
        assert np.count_nonzero(classes[chosen] == label) == round(0.2 * np.count_nonzero(classes == label))
