import numpy as np
import pytest

from neocog.data.cache import ImageCache
from neocog.data.resize import ImageSize
from neocog.errors import DataError

SIZE = ImageSize(4, 4, 1)  # 16 bytes an image


class Loader:
    def __init__(self, broken=()):
        self.calls, self.broken = [], broken

    def __call__(self, index):
        self.calls.append(index)
        if index in self.broken:
            raise DataError(f"image {index} is broken", hint="mend it")
        return np.full(SIZE.shape, index, np.uint8)


@pytest.mark.parametrize(("budget", "loads"), [(160, 1), (159, 2), (0, 2), (None, 1)])
def test_images_are_kept_when_all_of_them_fit(budget, loads):
    cache, load = ImageCache(10, budget), Loader()
    for _ in range(2):
        images, readable = cache.read(np.array([3, 1, 3]), SIZE, "stretch", np.uint8, load)
        assert images[:, 0, 0, 0].tolist() == [3, 1, 3]
        assert readable.all()
    assert load.calls.count(1) == loads
    assert cache.holds(np.array([1, 3]), SIZE, "stretch") == (loads == 1)
    assert not cache.holds(np.array([0]), SIZE, "stretch")
    assert not cache.holds(np.array([1]), SIZE, "crop")


def test_what_comes_out_of_memory_may_be_written_to():
    cache, load = ImageCache(3), Loader()
    images, _ = cache.read(np.array([1]), SIZE, "stretch", np.uint8, load)
    images[:] = 99
    assert cache.read(np.array([1]), SIZE, "stretch", np.uint8, load)[0].max() == 1


@pytest.mark.parametrize("budget", [0, None])
def test_broken_images_are_zeros_noted_once_and_not_tried_again(budget):
    cache, load = ImageCache(5, budget), Loader(broken={2})
    for _ in range(2):
        images, readable = cache.read(np.arange(5), SIZE, "stretch", np.uint8, load)
        assert readable.tolist() == [True, True, False, True, True]
        assert not images[2].any()
    assert cache.unreadable == {2: "image 2 is broken"}
    assert load.calls.count(2) == 1
    assert cache.holds(np.arange(5), SIZE, "stretch") == (budget is None)


def test_another_size_replaces_the_kept_one():
    cache, load = ImageCache(5), Loader()
    cache.read(np.arange(5), SIZE, "stretch", np.uint8, load)
    cache.read(np.arange(5), SIZE, "pad", np.uint8, load)
    assert cache.holds(np.arange(5), SIZE, "pad")
    assert not cache.holds(np.arange(5), SIZE, "stretch")


@pytest.mark.parametrize("budget", [0, None])
def test_want_of_memory_is_the_callers_and_is_not_noted_against_an_image(budget):
    cache, load = ImageCache(5, budget), Loader()

    def no_memory(index):
        raise MemoryError

    with pytest.raises(MemoryError):
        cache.read(np.arange(5), SIZE, "stretch", np.uint8, no_memory)
    assert cache.unreadable == {}
    assert cache.read(np.arange(5), SIZE, "stretch", np.uint8, load)[1].all()


@pytest.mark.parametrize(("budget", "fits"), [(160, True), (159, False), (0, False), (None, True)])
def test_whether_images_fit_is_told_before_and_after_they_are_read(budget, fits):
    cache, load = ImageCache(10, budget), Loader()
    assert cache.fits(SIZE, "stretch", np.uint8) == fits
    cache.read(np.arange(10), SIZE, "stretch", np.uint8, load)
    assert cache.fits(SIZE, "stretch", np.uint8) == cache.holds(np.arange(10), SIZE, "stretch") == fits
    cache.read(np.arange(10), SIZE, "stretch", np.uint8, load)
    assert load.calls.count(3) == (1 if fits else 2)
    if budget == 160:
        assert not cache.fits(ImageSize(4, 4, 3), "stretch", np.uint8)
