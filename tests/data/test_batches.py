import threading
import time

import numpy as np
import pytest

from neocog.data.arrays import ArrayDataset
from neocog.data.batches import Batches
from neocog.data.files import FileDataset
from neocog.data.resize import ImageSize
from neocog.errors import DataError, SettingError

SIZE = ImageSize(6, 5, 3)
COUNT = 53


@pytest.fixture
def files(tmp_path, save_image):
    samples = []
    for number in range(COUNT):
        save_image(f"{number}.png", number)
        samples.append((f"{number}.png", number % 3))

    def make(**options):
        return FileDataset(tmp_path, samples, ["a", "b", "c"], **options)

    return make


@pytest.fixture
def arrays():
    images = np.random.default_rng(0).integers(0, 256, (COUNT, 6, 5, 3), np.uint8)
    return ArrayDataset(images, np.arange(COUNT) % 3)


def collect(batches):
    pairs = list(batches)
    return [len(labels) for _, labels in pairs], *(np.concatenate(part) for part in zip(*pairs, strict=True))


def same(first, second):
    return first[0] == second[0] and all(np.array_equal(a, b) for a, b in zip(first[1:], second[1:], strict=True))


@pytest.mark.parametrize("budget", [None, 0])
def test_workers_and_memory_change_nothing(files, budget):
    def one_epoch(workers, dataset):
        return collect(Batches(dataset, 8, SIZE, shuffle=True, seed=3, epoch=2, workers=workers))

    want = one_epoch(0, files(memory_budget=0))
    assert want[0] == [8] * 6 + [5]
    for workers in (1, 2, 5):
        dataset = files(memory_budget=budget)
        assert same(one_epoch(workers, dataset), want)
        assert dataset.resident(np.arange(COUNT), SIZE) == (budget is None)
        assert same(one_epoch(workers, dataset), want)  # from memory, if it was kept


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("batch_size", [1, 7, 53, 100])
def test_arrays_are_gathered_in_order(arrays, workers, batch_size):
    batches = Batches(arrays, batch_size, shuffle=True, seed=1, workers=workers)
    order = batches.order()
    sizes, images, labels = collect(batches)
    assert len(batches) == len(sizes)
    assert np.array_equal(images, arrays.array[order])
    assert np.array_equal(labels, arrays.labels[order])
    assert sorted(order) == list(range(COUNT))


def test_large_arrays_take_several_hand_overs():
    data = ArrayDataset(np.random.default_rng(0).integers(0, 256, (40, 200, 200, 3), np.uint8), np.arange(40))
    sizes, images, labels = collect(Batches(data, 3, shuffle=True))
    assert sizes == [3] * 13 + [1]
    assert np.array_equal(images, data.array[labels])


def test_arrays_of_another_size_are_resized(arrays):
    sizes, images, _ = collect(Batches(arrays, 10, ImageSize(12, 10, 1)))
    assert images.shape == (COUNT, 12, 10, 1)
    assert same(collect(Batches(arrays, 10, ImageSize(12, 10, 1))), (sizes, images, arrays.labels))


def test_float_images_stay_float():
    data = ArrayDataset(np.random.default_rng(0).random((9, 4, 4)), np.zeros(9, int))
    assert next(iter(Batches(data, 4)))[0].dtype == np.float32
    assert next(iter(Batches(data, 4, ImageSize(8, 8, 1))))[0].dtype == np.float32


def test_seed_and_epoch_alone_decide_the_order(arrays):
    def order(seed, epoch):
        return Batches(arrays, 8, shuffle=True, seed=seed, epoch=epoch).order().tolist()

    assert order(1, 2) == order(1, 2)
    assert len({tuple(order(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9
    batches = Batches(arrays, 8, shuffle=True, seed=1)
    assert batches.at_epoch(2).order().tolist() == order(1, 2)
    # written down: another order here would change what every seed trains
    few = Batches(arrays, 8, indices=np.arange(8), shuffle=True, seed=0, epoch=0)
    assert few.order().tolist() == ORDER_OF_EIGHT


ORDER_OF_EIGHT = [3, 2, 1, 6, 0, 7, 4, 5]


def test_without_shuffling_indices_keep_their_order(arrays):
    indices = np.array([5, 50, 5, 0])
    _, _, labels = collect(Batches(arrays, 3, indices=indices))
    assert labels.tolist() == arrays.labels[indices].tolist()
    assert list(Batches(arrays, 3, indices=np.array([], np.int64))) == []


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("budget", [None, 0])
def test_skipped_images_leave_no_hole(files, workers, budget):
    dataset = files(memory_budget=budget)
    broken = [0, 9, 10, 52]
    for index in broken:
        dataset.path(index).write_bytes(b"not an image")
    batches = Batches(dataset, 8, SIZE, shuffle=True, workers=workers, on_error="skip")
    kept = [index for index in batches.order() if index not in broken]
    first = collect(batches)
    assert first[0] == [8] * 6 + [1]
    assert first[2].tolist() == dataset.labels[kept].tolist()
    assert list(dataset.unreadable) == broken
    assert len(batches) == 7
    assert same(collect(batches), first)  # the second time they are known beforehand
    verified = files(memory_budget=budget)
    verified.verify(SIZE)
    assert same(collect(Batches(verified, 8, SIZE, shuffle=True, workers=workers, on_error="skip")), first)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_unreadable_image_is_raised_to_the_consumer(files, workers):
    dataset = files()
    dataset.path(40).write_bytes(b"not an image")
    batches = iter(Batches(dataset, 4, SIZE, workers=workers))
    assert sum(len(next(batches)[1]) for _ in range(10)) == 40
    with pytest.raises(DataError, match=r"40\.png: not an image"):
        next(batches)
    with pytest.raises(DataError, match=r"40\.png"):
        list(Batches(dataset, 4, SIZE, workers=workers))


def test_stopping_early_leaves_no_thread(files, arrays):
    before = threading.active_count()
    for dataset in (files(), arrays):
        for _ in Batches(dataset, 2, SIZE, workers=3):
            break
        batches = iter(Batches(dataset, 2, SIZE, workers=3))
        next(batches)
        batches.close()
    deadline = time.monotonic() + 60
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_the_consumer_may_keep_and_change_batches(files, arrays):
    for dataset in (files(), arrays):
        kept = [images for images, _ in Batches(dataset, 8, SIZE)]
        copies = [images.copy() for images in kept]
        for images, _ in Batches(dataset, 8, SIZE):
            images[:] = 0
        assert all(np.array_equal(a, b) for a, b in zip(kept, copies, strict=True))


def test_settings_are_checked(files, arrays, save_image, tmp_path):
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(SettingError, match="batch_size needs a whole number of at least 1, got"):
            Batches(arrays, wrong)
    with pytest.raises(SettingError, match="epoch needs a whole number of at least 0, got -1"):
        Batches(arrays, 2, epoch=-1)
    with pytest.raises(SettingError, match="seed needs"):
        Batches(arrays, 2, seed=-1)
    with pytest.raises(SettingError, match="workers needs"):
        Batches(arrays, 2, workers=-1)
    with pytest.raises(SettingError, match="one of raise, skip, got 'ignore'"):
        Batches(arrays, 2, on_error="ignore")
    with pytest.raises(SettingError, match="one of stretch, crop, pad, short, got 'fit'"):
        Batches(arrays, 2, resize="fit")
    with pytest.raises(DataError, match=r"indices need to lie in 0\.\.52, got 0\.\.53"):
        Batches(arrays, 2, indices=np.arange(54))
    with pytest.raises(DataError, match=r"integers of shape \(n,\), got float64"):
        Batches(arrays, 2, indices=np.zeros(3))
    save_image("wide.png", 1, size=(40, 8))
    varied = FileDataset(tmp_path, [("0.png", 0), ("wide.png", 0)], ["a"])
    files()
    with pytest.raises(SettingError, match="batches need a size: the images of this dataset differ"):
        Batches(varied, 2)
