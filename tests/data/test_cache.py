import shutil
import subprocess
import sys

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


def test_a_third_kind_replaces_that_asked_for_longest_ago():
    cache, load = ImageCache(5), Loader()
    for rule in ("stretch", "pad", "stretch", "crop"):
        cache.read(np.arange(5), SIZE, rule, np.uint8, load)
    assert [rule for rule in ("stretch", "pad", "crop") if cache.holds(np.arange(5), SIZE, rule)] == ["stretch", "crop"]
    assert len(load.calls) == 15


@pytest.fixture(params=[160, 159], ids=["memory", "file"])
def kept(request, tmp_path):
    """A cache that keeps ten images, in memory or on disk."""
    cache = ImageCache(10, request.param, tmp_path / "images")
    assert cache.fits(SIZE, "stretch", np.uint8)
    assert (tmp_path / "images").exists() == (request.param == 159)
    return cache


def test_what_is_kept_comes_back_as_it_was(kept, tmp_path):
    random = np.random.default_rng(0).integers(0, 256, (10, *SIZE.shape), np.uint8)
    order = np.array([3, 1, 3, 9, 0])
    for _ in range(2):
        images, readable = kept.read(order, SIZE, "stretch", np.uint8, lambda index: random[index])
        assert np.array_equal(images, random[order])
        assert readable.all()
    images[:] = 0  # the caller's own
    assert kept.holds(order, SIZE, "stretch")
    assert not kept.holds(np.array([5]), SIZE, "stretch")

    def never(index):
        raise AssertionError(f"image {index} is kept, and was asked for")

    assert np.array_equal(kept.read(order, SIZE, "stretch", np.uint8, never)[0], random[order])
    assert list((tmp_path).glob("images/*")) == []  # the file has no name


def test_some_kept_some_not_and_some_broken(kept):
    load = Loader(broken={2})
    kept.read(np.array([1, 2]), SIZE, "stretch", np.uint8, load)
    images, readable = kept.read(np.array([2, 7, 1]), SIZE, "stretch", np.uint8, load)
    assert images[:, 0, 0, 0].tolist() == [0, 7, 1]
    assert readable.tolist() == [False, True, True]
    assert load.calls == [1, 2, 7]


def test_floating_point_images_go_to_disk_and_back(tmp_path):
    cache = ImageCache(10, 159, tmp_path)
    values = np.random.default_rng(0).random((10, *SIZE.shape), np.float32)
    for _ in range(2):
        images, _ = cache.read(np.arange(10), SIZE, "stretch", np.float32, lambda index: values[index])
        assert np.array_equal(images, values)


def test_a_full_disk_keeps_nothing_and_loses_nothing(tmp_path, monkeypatch):
    cache, load = ImageCache(10, 159, tmp_path), Loader()
    cache.read(np.array([4]), SIZE, "stretch", np.uint8, load)

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    for _ in range(2):
        images, readable = cache.read(np.array([4, 5]), SIZE, "stretch", np.uint8, load)
        assert images[:, 0, 0, 0].tolist() == [4, 5]
        assert readable.all()
    assert load.calls == [4, 5, 5]
    assert not cache.holds(np.array([5]), SIZE, "stretch")


@pytest.mark.parametrize("why", ["small disk", "closed folder", "no budget"])
def test_without_room_on_disk_images_are_not_kept(tmp_path, monkeypatch, why):
    folder = tmp_path / "images"
    if why == "small disk":
        monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(1000, 681, 319))
    elif why == "closed folder":
        folder.write_bytes(b"a file")
    cache, load = ImageCache(10, 0 if why == "no budget" else 159, folder), Loader()
    assert not cache.fits(SIZE, "stretch", np.uint8)
    for _ in range(2):
        assert cache.read(np.array([4]), SIZE, "stretch", np.uint8, load)[1].all()
    assert load.calls == [4, 4]


def test_a_file_that_lost_images_is_told(tmp_path, monkeypatch):
    cache = ImageCache(10, 159, tmp_path)
    cache.read(np.arange(10), SIZE, "stretch", np.uint8, Loader())
    monkeypatch.setattr("os.pread", lambda *arguments: b"")
    with pytest.raises(DataError, match="fewer than were written there"):
        cache.read(np.arange(10), SIZE, "stretch", np.uint8, Loader())


def test_a_hundred_thousand_images_on_disk_take_no_memory(tmp_path):
    """Of the process's own; what the system keeps of the file is not counted, and goes where others need it."""
    script = """
import sys
from pathlib import Path
import numpy as np
from neocog.data.cache import ImageCache
from neocog.data.resize import ImageSize

def resident():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096

size, count = ImageSize(32, 32, 3), 100_000
cache = ImageCache(count, 1 << 20, Path(sys.argv[1]))
one = np.arange(size.values, dtype=np.uint64).astype(np.uint8).reshape(size.shape)
order = np.arange(count)
cache.read(order[:64], size, "stretch", np.uint8, lambda index: one + np.uint8(index % 7))
before = resident()
for _ in range(2):
    for start in range(0, count, 512):
        chunk = order[start : start + 512]
        images, readable = cache.read(chunk, size, "stretch", np.uint8, lambda index: one + np.uint8(index % 7))
        assert readable.all() and images[5, 0, 0, 0] == (chunk[5] % 7 if len(chunk) > 5 else 0)
assert cache.holds(order, size, "stretch")
print(resident() - before)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 32 << 20  # of 293 MiB of pixels


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
