"""What `neocog train` decides when it is not told."""

from __future__ import annotations

import numpy as np
import pytest

from app.pictures import write_image
from neocog.data.arrays import ArrayDataset
from neocog.data.files import FileDataset
from neocog.data.resize import ImageSize
from neocog.nn.optimizers import SGD, Adam, AdamW
from neocog.train import recipe


@pytest.mark.parametrize(
    ("images", "epochs"), [(1, 40), (1434, 40), (3068, 33), (5000, 20), (60_000, 10), (10_000_000, 10)]
)
def test_epochs_show_about_100_000_images(images, epochs):
    assert recipe.choose_epochs(images) == epochs


def grey(count: int, side: int) -> ArrayDataset:
    return ArrayDataset(np.zeros((count, side, side), np.uint8), np.zeros(count, int), ["only"])


@pytest.mark.parametrize(("side", "want"), [(8, 8), (28, 28), (128, 128), (129, 96), (500, 96)])
def test_images_of_one_size_keep_it_up_to_128_pixels(side, want):
    assert recipe.choose_size(grey(2, side)) == ImageSize(want, want, 1)


def test_what_is_asked_for_goes_first():
    assert recipe.choose_size(grey(2, 28), (32, 48), 3) == ImageSize(32, 48, 3)


@pytest.mark.parametrize(
    ("sides", "want"), [((20, 30, 31), 32), ((40, 60, 80), 32), ((70, 71, 99), 64), ((99, 400, 500), 96)]
)
def test_photos_get_the_largest_square_below_their_median(tmp_path, sides, want):
    names = [write_image(tmp_path / f"{side}.png", 99, side=side).name for side in sides]
    data = FileDataset(tmp_path, [(name, 0) for name in names], ["only"])
    assert recipe.choose_size(data) == ImageSize(want, want, 3)


def test_statistics_are_those_of_numpy():
    images = np.random.default_rng(0).integers(0, 256, (50, 6, 7, 3), np.uint8)
    mean, std = recipe.channel_statistics(ArrayDataset(images, np.zeros(50, int), ["only"]), ImageSize(6, 7, 3))
    scaled = images / 255.0
    np.testing.assert_allclose(mean, scaled.mean(axis=(0, 1, 2)), atol=1e-6)  # rounded to six digits
    np.testing.assert_allclose(std, scaled.std(axis=(0, 1, 2)), atol=1e-6)


def test_statistics_of_floating_point_images_are_not_scaled():
    images = np.full((4, 5, 5, 1), 0.25, np.float32)
    images[:2] = 0.75
    assert recipe.channel_statistics(ArrayDataset(images, [0] * 4, ["only"]), ImageSize(5, 5, 1)) == ((0.5,), (0.25,))


def test_a_channel_that_never_changes_is_not_blown_up():
    assert recipe.channel_statistics(grey(3, 4), ImageSize(4, 4, 1)) == ((0.0,), (1.0,))


def test_optimizers_have_the_defaults_of_the_help_page():
    assert recipe.make_optimizer("adam", None, None, None) == Adam(0.001)
    assert recipe.make_optimizer("adamw", None, None, None) == AdamW(0.001, weight_decay=0.01)
    assert recipe.make_optimizer("sgd", None, None, None) == SGD(0.05, momentum=0.9)
    assert recipe.make_optimizer("sgd", 0.1, 0.2, 0.0) == SGD(0.1, weight_decay=0.2, momentum=0.0)
    assert recipe.make_optimizer("adamw", 0.1, 0.0, None) == AdamW(0.1, weight_decay=0.0)
