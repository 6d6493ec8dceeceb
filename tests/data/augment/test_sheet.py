"""The contact sheet shows what the network gets, to the last bit."""

import numpy as np
import pytest

from neocog.data.arrays import ArrayDataset
from neocog.data.augment import sheet
from neocog.data.augment.pipeline import Pipeline
from neocog.data.augment.words import parsed
from neocog.data.batches import Batches
from neocog.data.files import FileDataset
from neocog.data.resize import ImageSize
from neocog.errors import DataError


def places(drawn, size, columns, rows):
    """Cut the pictures out of a sheet, from its right and lower edge, and undo their enlargement: [row][column]."""
    pixels = np.asarray(drawn)
    factor = max(1, -(-sheet.LEAST_SIDE // max(size.height, size.width)))
    height, width = size.height * factor, size.width * factor
    cut = []
    for row in range(rows):
        top = pixels.shape[0] - (rows - row) * (height + sheet.GAP)
        lefts = [pixels.shape[1] - (columns - column) * (width + sheet.GAP) for column in range(columns)]
        whole = [pixels[top : top + height, left : left + width] for left in lefts]
        for picture in whole:
            blocks = picture.reshape(size.height, factor, size.width, factor, 3)
            assert (blocks == blocks[:, :1, :, :1]).all()
        cut.append([picture[::factor, ::factor] for picture in whole])
    return cut


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_sheet_shows_batches_of_the_first_epochs(channels):
    images = np.random.default_rng(0).integers(0, 256, (40, 10, 12, channels), np.uint8)
    data = ArrayDataset(images, np.repeat(np.arange(4), 10), ["ant", "bee", "猫", "dog"])
    size, augment = ImageSize(10, 12, channels), Pipeline(parsed("flip,crop=2,jitter"), 3)
    drawn = sheet.contact_sheet(data, size, augment)
    chosen = np.array([0, 10, 20, 30, 1, 11, 21, 31])
    cut = places(drawn, size, 1 + sheet.EPOCHS, 8)
    for row, index in enumerate(chosen):
        assert np.array_equal(cut[row][0], as_seen(images[index]))
    for epoch in range(sheet.EPOCHS):
        order = Batches(data, 40, shuffle=True, seed=3, epoch=epoch, augment=augment)
        trained_on = dict(zip(order.order().tolist(), next(iter(order))[0], strict=True))
        for row, index in enumerate(chosen):
            assert np.array_equal(cut[row][1 + epoch], as_seen(trained_on[int(index)]))


def as_seen(image):
    return image[:, :, :3] if image.shape[2] > 1 else np.repeat(image, 3, axis=2)


def test_without_augmentation_there_is_one_column(tmp_path, save_image):
    for number in range(3):
        save_image(f"{number}.png", number)
    data = FileDataset(tmp_path, [(f"{i}.png", i % 2) for i in range(3)], ["a", "b"])
    size = ImageSize(70, 66, 3)
    drawn = sheet.contact_sheet(data, size, Pipeline())
    cut = places(drawn, size, 1, 3)
    wanted = data.images(np.array([0, 1, 2]), size)
    assert all(np.array_equal(cut[row][0], wanted[row]) for row in range(3))
    assert drawn.width < 110


def test_unreadable_images_are_passed_over(tmp_path, save_image):
    for number in range(4):
        save_image(f"{number}.png", number)
    (tmp_path / "0.png").write_bytes(b"no image")
    data = FileDataset(tmp_path, [(f"{i}.png", i % 2) for i in range(4)], ["a", "b"])
    size = ImageSize(64, 64, 3)
    cut = places(sheet.contact_sheet(data, size, Pipeline()), size, 1, 3)
    assert np.array_equal(cut[0][0], data.images(np.array([1]), size)[0])
    lost = FileDataset(tmp_path, [("0.png", 0)], ["a"])
    with pytest.raises(DataError, match="no image that can be read"):
        sheet.contact_sheet(lost, size, Pipeline())
