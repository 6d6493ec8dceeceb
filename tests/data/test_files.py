import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neocog.data.dataset import Subset
from neocog.data.decode import decode_image
from neocog.data.files import FileDataset, content_digest
from neocog.data.resize import ImageSize
from neocog.errors import DataError

SIZE = ImageSize(6, 6, 3)


@pytest.fixture
def dataset(tmp_path, save_image):
    for number in range(6):
        save_image(f"c/{number}.png", number)
    return FileDataset(tmp_path, [(f"c/{number}.png", number % 2) for number in range(6)], ["even", "odd"])


def test_files_are_decoded_by_the_one_decoder(dataset):
    images = dataset.images(np.array([4, 0]), SIZE, "crop")
    assert np.array_equal(images[0], decode_image(dataset.path(4), SIZE, "crop"))
    assert np.array_equal(images[1], decode_image(dataset.path(0), SIZE, "crop"))
    assert dataset.identifiers[4] == "c/4.png"
    assert dataset.labels.tolist() == [0, 1, 0, 1, 0, 1]
    assert dataset.samples[1] == ("c/1.png", 1)


def test_later_reads_come_from_memory(dataset):
    everything = np.arange(6)
    first = dataset.images(everything, SIZE)
    for index in range(6):
        dataset.path(index).unlink()
    assert dataset.resident(everything, SIZE)
    assert np.array_equal(dataset.images(everything, SIZE), first)


def test_verify_lists_unreadable_files_in_order_and_fills_memory(dataset):
    dataset.path(5).write_bytes(b"nonsense")
    dataset.path(2).unlink()
    seen = []
    found = dataset.verify(SIZE, workers=2, progress=lambda done, total: seen.append((done, total)))
    assert list(found) == [2, 5]
    assert "2.png: there is no such file" in found[2]
    assert "5.png: not an image" in found[5]
    assert seen[-1] == (6, 6)
    assert dataset.resident(np.arange(6), SIZE)
    with pytest.raises(DataError, match=r"2\.png: there is no such file"):
        dataset.images(np.arange(6), SIZE)
    images, readable = dataset.read(np.arange(6), SIZE)
    assert readable.tolist() == [True, True, False, True, True, False]
    assert not images[2].any()


def test_a_subset_sees_its_part(dataset):
    dataset.path(3).write_bytes(b"")
    part = Subset(dataset, np.array([5, 3, 1]))
    assert part.identifiers == ["c/5.png", "c/3.png", "c/1.png"]
    assert part.labels.tolist() == [1, 1, 1]
    assert part.verify(SIZE).keys() == {1}
    assert part.digests() == [dataset.digests()[i] for i in (5, 3, 1)]
    assert np.array_equal(part.images(np.array([2]), SIZE), dataset.images(np.array([1]), SIZE))
    assert part.native_size == ImageSize(8, 12, 3)
    assert part.facts(0) == dataset.facts(5)
    assert part.channels == 3
    assert len(part) == 3


def test_native_size_is_none_when_sizes_vary(tmp_path, save_image, dataset):
    assert dataset.native_size == ImageSize(8, 12, 3)
    save_image("c/big.png", 9, size=(30, 20), mode="L")
    save_image("c/grey.png", 9, mode="L")
    varied = FileDataset(tmp_path, [("c/grey.png", 0), ("c/big.png", 1)], ["a", "b"])
    assert varied.native_size is None
    assert varied.channels == 1
    mixed = FileDataset(tmp_path, [("c/grey.png", 0), ("c/0.png", 1), ("c/gone.png", 1)], ["a", "b"])
    assert mixed.native_size == ImageSize(8, 12, 3)


def test_digests_are_those_of_the_files(tmp_path, dataset):
    (tmp_path / "c/0.png").write_bytes(dataset.path(1).read_bytes())
    dataset.path(2).unlink()
    seen = []
    digests = dataset.digests(lambda done, total: seen.append(done))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 5
    assert seen[-1] == 6


def test_facts_describe_the_stored_picture(dataset):
    facts = dataset.facts(0)
    assert facts[:3] == (8, 12, "RGB")
    assert facts.digest == dataset.digests()[0]
    dataset.path(0).write_bytes(b"BMno bitmap")
    dataset.path(1).write_bytes(b"")
    dataset.path(2).unlink()
    for index in range(3):
        with pytest.raises(DataError) as caught:
            dataset.facts(index)
        with pytest.raises(DataError) as wanted:
            decode_image(dataset.path(index), SIZE)
        assert caught.value.message == wanted.value.message
        assert caught.value.hint == wanted.value.hint


@pytest.fixture
def opened(monkeypatch):
    """Return the names of the images that are opened, each as often as it is."""
    names, really = [], os.open

    def open_and_note(path, *arguments, **options):
        if str(path).endswith(".png"):
            names.append(Path(path).name)
        return really(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_and_note)
    return names


def test_an_image_is_opened_once_for_its_facts(dataset, opened):
    facts = [dataset.facts(index) for index in range(6)]
    assert opened == [f"{number}.png" for number in range(6)]
    assert [fact.digest for fact in facts] == dataset.digests()
    del opened[:]
    assert dataset.facts(3) == facts[3]
    assert opened == ["3.png"]


def test_digests_of_some_images_open_no_others_and_decode_nothing(dataset, opened):
    dataset.path(4).write_bytes(b"no image")
    dataset.path(1).unlink()
    del opened[:]
    some = np.array([4, 0, 1])
    found = dataset.digests_of(some)
    assert opened == ["4.png", "0.png", "1.png"]
    assert found == [dataset.digests()[4], dataset.digests()[0], None]
    del opened[:]
    assert dataset.digests_of(some) == found
    assert Subset(dataset, np.array([1, 0, 4])).digests_of(np.array([2, 0])) == [found[0], None]
    assert opened == []
    assert dataset.digests_of(np.array([], np.int64)) == []


def test_facts_of_every_format_leave_the_file_open_for_the_digest(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    kinds = ("png", "jpg", "bmp", "gif", "ppm", "tiff", "webp")
    for kind in kinds:
        Image.fromarray(pixels).save(tmp_path / f"a.{kind}")
    data = FileDataset(tmp_path, [(f"a.{kind}", 0) for kind in kinds], ["a"])
    for index, kind in enumerate(kinds):
        facts = data.facts(index)
        assert facts[:2] == (9, 7)
        assert facts.digest == content_digest((tmp_path / f"a.{kind}").read_bytes())


def test_files_without_permission_are_unreadable(dataset):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    dataset.path(0).chmod(0)
    assert "Permission denied" in dataset.verify(SIZE)[0]


def test_samples_are_checked(tmp_path):
    with pytest.raises(DataError, match="there are no images"):
        FileDataset(tmp_path, [], ["a"])
    with pytest.raises(DataError, match=r"be in 0\.\.0, got 1 for image 0"):
        FileDataset(tmp_path, [("a.png", 1)], ["a"])


def test_a_dataset_tells_whether_its_images_are_kept(tmp_path, dataset, monkeypatch):
    assert dataset.fits(SIZE)
    assert Subset(dataset, np.array([0])).fits(SIZE)
    on_disk = FileDataset(tmp_path, dataset.samples, ["even", "odd"], memory_budget=6 * SIZE.values - 1)
    assert on_disk.fits(SIZE)
    on_disk.verify(SIZE)
    assert on_disk.resident(np.arange(6), SIZE)
    assert np.array_equal(on_disk.images(size=SIZE), dataset.images(size=SIZE))
    monkeypatch.setenv("NEOCOG_CACHE", str(dataset.path(0)))  # no folder
    small = FileDataset(tmp_path, dataset.samples, ["even", "odd"], memory_budget=6 * SIZE.values - 1)
    assert not small.fits(SIZE)
    assert not Subset(small, np.array([0])).fits(SIZE)
    small.verify(SIZE)
    assert not small.resident(np.arange(6), SIZE)
    assert small.fits(ImageSize(5, 6, 3))
