"""What is found out about the pictures to be learnt."""

from __future__ import annotations

import numpy as np
import pytest

from app.pictures import write_image
from neocog.data.arrays import ArrayDataset
from neocog.data.files import FileDataset
from neocog.data.resize import ImageSize
from neocog.train.pictures import channel_statistics, choose_size, may_be_mirrored


def grey(count: int, side: int) -> ArrayDataset:
    return ArrayDataset(np.zeros((count, side, side), np.uint8), np.zeros(count, int), ["only"])


@pytest.mark.parametrize(("side", "want"), [(8, 8), (28, 28), (128, 128), (129, 128), (500, 128)])
def test_images_of_one_size_keep_it_up_to_128_pixels(side, want):
    assert choose_size(grey(2, side)) == ImageSize(want, want, 1)


def test_what_is_asked_for_goes_first():
    assert choose_size(grey(2, 28), (32, 48), 3) == ImageSize(32, 48, 3)


@pytest.mark.parametrize(
    ("sides", "want"),
    [((20, 30, 31), 32), ((70, 71, 99), 64), ((70, 100, 127), 96), ((99, 400, 500), 128)],
)
def test_photos_get_the_largest_square_below_their_median(tmp_path, sides, want):
    names = [write_image(tmp_path / f"{side}.png", 99, side=side).name for side in sides]
    data = FileDataset(tmp_path, [(name, 0) for name in names], ["only"])
    assert choose_size(data) == ImageSize(want, want, 3)


def test_statistics_are_those_of_numpy():
    images = np.random.default_rng(0).integers(0, 256, (50, 6, 7, 3), np.uint8)
    mean, std = channel_statistics(ArrayDataset(images, np.zeros(50, int), ["only"]), ImageSize(6, 7, 3))
    scaled = images / 255.0
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 1, 2)), atol=1e-6)  # rounded to six digits
    np.testing.assert_allclose(std, scaled.std(axis=(0, 1, 2)), atol=1e-6)


def test_statistics_of_floating_point_images_are_not_scaled():
    images = np.full((4, 5, 5, 1), 0.25, np.float32)
    images[:2] = 0.75
    assert channel_statistics(ArrayDataset(images, [0] * 4, ["only"]), ImageSize(5, 5, 1)) == ((0.5,), (0.25,))


def test_a_channel_that_never_changes_is_not_blown_up():
    assert channel_statistics(grey(3, 4), ImageSize(4, 4, 1)) == ((0.0,), (1.0,))


def drawn(*pictures: np.ndarray, each: int = 20, channels: int = 1) -> ArrayDataset:
    """Return images of some classes: each picture, brighter or darker, shifted a little, with noise."""
    rng = np.random.default_rng(0)
    images, labels = [], []
    for label, picture in enumerate(pictures):
        for _ in range(each):
            moved = np.roll(picture, rng.integers(-1, 2, 2), (0, 1)) * rng.uniform(0.7, 1.0) + rng.uniform(
                0, 30, (16, 16)
            )
            images.append(np.repeat(moved[:, :, None], channels, axis=2).clip(0, 255).astype(np.uint8))
            labels.append(label)
    return ArrayDataset(np.stack(images), np.array(labels), [f"class {k}" for k in range(len(pictures))])


def bracket(*, left: bool) -> np.ndarray:
    picture = np.zeros((16, 16))
    picture[2:14, 3 if left else 12] = 220
    picture[[2, 13], 3:13] = 220
    return picture


def test_pictures_that_are_others_in_the_mirror_may_not_be_mirrored():
    data = drawn(bracket(left=True), bracket(left=False))
    assert not may_be_mirrored(data, ImageSize(16, 16, 1))
    colour = drawn(bracket(left=True), bracket(left=False), channels=3)
    assert not may_be_mirrored(colour, ImageSize(16, 16, 3))


def test_pictures_that_stay_what_they_are_may_be_mirrored():
    round_one, cross = np.zeros((16, 16)), np.zeros((16, 16))
    round_one[4:12, 4:12] = 220
    cross[7:9, :] = cross[:, 7:9] = 220
    assert may_be_mirrored(drawn(round_one, cross), ImageSize(16, 16, 1))
    # they point to the left, and to nothing else when they are mirrored
    assert may_be_mirrored(drawn(bracket(left=True), cross), ImageSize(16, 16, 1))


def test_noise_says_nothing_against_mirroring():
    rng = np.random.default_rng(1)
    data = ArrayDataset(
        rng.integers(0, 256, (200, 16, 16, 3), np.uint8), np.arange(200) % 10, [str(k) for k in range(10)]
    )
    assert may_be_mirrored(data, ImageSize(16, 16, 3))


def test_digits_may_not_be_mirrored():
    from neocog.data.sources import read_source

    source = read_source("digits")
    train = source.unsplit if source.train is None else source.train
    assert train is not None
    assert not may_be_mirrored(train, ImageSize(8, 8, 1))


def test_where_there_is_nothing_to_compare_mirroring_is_allowed():
    assert may_be_mirrored(grey(3, 8), ImageSize(8, 8, 1))  # one class
    one_each = ArrayDataset(np.zeros((2, 8, 8), np.uint8), np.array([0, 1]), ["a", "b"])
    assert may_be_mirrored(one_each, ImageSize(8, 8, 1))


def test_images_with_the_same_labels_are_a_class():
    brackets = drawn(bracket(left=True), bracket(left=False))
    rows = np.stack([brackets.labels == 0, brackets.labels == 1], axis=1).astype(np.int64)

    class Several(ArrayDataset):
        several_labels = True

    data = Several(brackets.images(), brackets.labels, ["left", "right"])
    data.labels = rows
    assert not may_be_mirrored(data, ImageSize(16, 16, 1))


@pytest.mark.parametrize(("classes", "each"), [(5, 2), (5, 3), (250, 20)])
def test_few_images_of_a_class_say_nothing_by_accident(classes, each):
    """Each class is one picture, half of the time mirrored, and noise."""
    for seed in range(3):
        rng = np.random.default_rng(seed)
        pictures = np.kron(rng.integers(40, 200, (classes, 1, 4, 4)), np.ones((each, 4, 4)))
        turned = rng.random((classes, each)) < 0.5
        pictures = np.where(turned[:, :, None, None], pictures[..., ::-1], pictures)
        noisy = (pictures + rng.normal(0, 30, pictures.shape)).clip(0, 255).astype(np.uint8)
        data = ArrayDataset(noisy.reshape(-1, 16, 16), np.repeat(np.arange(classes), each), [*map(str, range(classes))])
        assert may_be_mirrored(data, ImageSize(16, 16, 1))
