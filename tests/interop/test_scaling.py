import doctest

import numpy as np
import pytest

from neocog.errors import ShapeError
from neocog.interop import scaling
from neocog.interop.scaling import Scaling


def test_measurements_have_units_of_their_own():
    rows = np.array([[0.0, 1e6, 7.0], [2.0, 3e6, 7.0]])
    found = Scaling.of(rows, None)
    assert found.shape == (1, 1, 3)
    np.testing.assert_array_equal(found.images(rows).reshape(2, 3), [[-1, -1, 0], [1, 1, 0]])
    assert found.images(np.array([[1e9, 2e6, 8.0]])).reshape(3).tolist() == [32.0, 0.0, 1.0]  # beyond all measure


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_images_in_their_range_stay(dtype):
    images = np.linspace(0, 1, 24).reshape(2, 2, 2, 3) if dtype != np.uint8 else np.arange(24).reshape(2, 2, 2, 3)
    found = Scaling.of(images.astype(dtype), None)
    assert not found.changes
    assert found.shape == (2, 2, 3)
    np.testing.assert_array_equal(found.images(images.astype(dtype)), images.astype(np.float32))
    assert found.images(images.astype(dtype)).dtype == (np.uint8 if dtype == np.uint8 else np.float32)


def test_other_numbers_run_from_0_to_1():
    found = Scaling.of(np.array([[0, 4, 8, 16]]), (2, 2, 1))
    np.testing.assert_array_equal(found.images(np.array([[0, 4, 12, 20]]))[0, :, :, 0], [[0, 0.25], [0.75, 1]])


def test_grey_images_need_no_channels():
    assert Scaling.of(np.zeros((3, 4, 5), np.uint8), None).images(np.zeros((3, 4, 5), np.uint8)).shape == (3, 4, 5, 1)


@pytest.mark.parametrize(
    ("values", "shape"), [((2, 5), (2, 2, 1)), ((2, 4, 4, 3), (4, 4, 1)), ((2, 3), 3), ((2, 2, 2, 2, 2), None)]
)
def test_what_holds_no_such_images_is_refused(values, shape):
    with pytest.raises(ShapeError):
        Scaling.of(np.zeros(values), shape)


def test_the_examples_hold():
    assert doctest.testmod(scaling).attempted
    assert not doctest.testmod(scaling).failed
