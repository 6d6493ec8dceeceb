"""A data set as the training loop reads it."""

from __future__ import annotations

import numpy as np
import pytest

from app.pictures import write_image
from neocog.app.epochs import DatasetSource
from neocog.data.arrays import ArrayDataset
from neocog.data.files import FileDataset
from neocog.data.resize import ImageSize

SIZE = ImageSize(4, 4, 1)


@pytest.fixture
def data() -> ArrayDataset:
    images = np.arange(10, dtype=np.uint8)[:, None, None] * np.ones((4, 4), np.uint8)
    return ArrayDataset(images, np.arange(10) % 2, ["even", "odd"])


def order(source: DatasetSource, epoch: int) -> list[int]:
    return [int(image[0, 0, 0]) for images, _ in source.batches(epoch) for image in images]


def test_every_epoch_has_an_order_of_its_own_that_comes_again(data):
    source = DatasetSource(data, SIZE, "stretch", batch_size=4, shuffle=True, seed=1)
    assert source.images == 10
    assert order(source, 0) == order(source, 0) != order(source, 1)
    assert sorted(order(source, 1)) == list(range(10))


def test_labels_can_be_renamed(data):
    source = DatasetSource(data, SIZE, "stretch", batch_size=4, relabel=np.array([7, 5]))
    assert [label for _, labels in source.batches(0) for label in labels] == [7, 5] * 5


def test_images_that_cannot_be_read_are_left_out(tmp_path):
    write_image(tmp_path / "a.png", 10)
    (tmp_path / "b.png").write_text("no image")
    files = FileDataset(tmp_path, [("a.png", 0), ("b.png", 0)], ["only"])
    files.verify(SIZE)
    source = DatasetSource(files, SIZE, "stretch", batch_size=4)
    assert source.images == 1
    assert [len(images) for images, _ in source.batches(0)] == [1]
