"""A small network trained on MNIST in seconds, once for all tests of a process; skips where the data set is absent."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

import neocog as nc
from neocog.data import Dataset, open_data

MNIST = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "mnist"
MEAN, STD = 0.1307, 0.3081  # of the training images' pixels


@cache
def mnist() -> tuple[Dataset, Dataset]:
    """Return the training and the test images of MNIST."""
    if not MNIST.is_dir():
        pytest.skip("MNIST is not in ../shared/data")
    splits = open_data(MNIST)
    assert splits.test is not None
    return splits.train, splits.test


@cache
def trained_model() -> nc.Model:
    """Return the article's network after two epochs on 6,000 images: about 95 % right."""
    images = np.arange(6000)
    model = nc.Model(nc.zoo.article(), (28, 28, 1), mean=MEAN, std=STD)
    train, _ = mnist()
    model.fit(train.images(images), train.labels[images], epochs=2, verbose=0)
    return model


def held_out(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first test images and their labels."""
    _, test = mnist()
    return test.images(np.arange(count)), test.labels[:count]
