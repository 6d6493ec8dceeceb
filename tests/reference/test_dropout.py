"""Dropout, Dropout2d and DropPath: what they keep, and how it is scaled."""

import numpy as np
import pytest

from neocog.nn.layers import Dropout, Dropout2d, DropPath
from neocog.nn.random import dropout_bits, dropout_key
from neocog.reference import dropout
from neocog.reference.rule import Draw


def test_dropout_keeps_what_the_bits_say_and_scales_it():
    layer, shape = Dropout(0.2), (3, 4, 5, 2)
    mask = dropout.mask(shape, layer, Draw(9, 4), 2)
    bits = dropout_bits(dropout_key(9, 4, 2), 120)
    for i, (n, row, column, channel) in enumerate(np.ndindex(shape)):
        assert mask[n, row, column, channel] == (int(bits[i]) >= round(0.2 * 2**32))
    x, dy = np.full(shape, 3.0), np.full(shape, 2.0)
    assert np.allclose(dropout.forward(x, mask, layer), np.where(mask, 3 / 0.8, 0))
    assert np.allclose(dropout.backward(mask, dy, layer), np.where(mask, 2 / 0.8, 0))


def test_the_mask_of_an_image_does_not_depend_on_the_images_behind_it():
    layer = Dropout(0.5)
    few = dropout.mask((2, 9), layer, Draw(0, 1), 0)
    many = dropout.mask((5, 9), layer, Draw(0, 1), 0)
    assert (many[:2] == few).all()


def test_dropout_keeps_the_mean():
    layer = Dropout(0.3)
    mask = dropout.mask((1000, 100), layer, Draw(0, 1), 0)
    mean = dropout.forward(np.ones(mask.shape), mask, layer).mean()
    assert abs(mean - 1) < 5 * (0.3 / 0.7 / 100_000) ** 0.5  # five standard deviations


def test_a_dropout2d_keeps_or_drops_whole_maps():
    layer, shape = Dropout2d(0.4), (3, 4, 5, 2)
    mask = dropout.mask(shape, layer, Draw(9, 4), 2)
    bits = dropout_bits(dropout_key(9, 4, 2), 3 * 2)
    kept = dropout.forward(np.ones(shape), mask, layer)
    for image, channel in np.ndindex(3, 2):
        want = 1 / 0.6 if int(bits[image * 2 + channel]) >= round(0.4 * 2**32) else 0
        assert np.allclose(kept[image, ..., channel], want)


@pytest.mark.parametrize("sides", [(4, 5, 2), (7,)])
def test_a_droppath_keeps_or_drops_whole_images(sides):
    layer, count = DropPath(0.5), 9
    mask = dropout.mask((count, *sides), layer, Draw(9, 4), 2)
    bits = dropout_bits(dropout_key(9, 4, 2), count)
    kept = dropout.forward(np.ones((count, *sides)), mask, layer)
    for image in range(count):
        assert np.allclose(kept[image], 2 if int(bits[image]) >= 2**31 else 0)
    assert len(np.unique(kept)) == 2
