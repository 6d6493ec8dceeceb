"""The same content is the same image, and no other is."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
from PIL import Image

from neocog.data.arrays import ArrayDataset
from neocog.data.dataset import Subset
from neocog.data.files import FileDataset
from neocog.data.identity import (
    NOBODY,
    identities_in,
    identities_of,
    identities_of_array,
    identities_of_some,
    union,
)


def write(path: Path, value: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(path)
    return path


def test_an_identity_is_what_the_format_says() -> None:
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    for image, identity in zip(images, identities_of(ArrayDataset(images, [0, 1])), strict=True):
        digest = hashlib.blake2b(image.tobytes(), digest_size=16, key=b"2 x 2 x 1 uint8").digest()
        assert struct.unpack("<Q", digest[:8]) == (int(identity),)


def test_an_identity_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", 7)
    digest = hashlib.blake2b(path.read_bytes(), digest_size=16).digest()
    assert identities_of(FileDataset(tmp_path, [("a.png", 0)], ["x"])).tolist() == [struct.unpack("<Q", digest[:8])[0]]


def test_copies_are_the_same_and_others_are_not(tmp_path: Path) -> None:
    for name, value in (("a/1.png", 7), ("b/other name.png", 7), ("b/2.png", 8)):
        write(tmp_path / name, value)
    data = FileDataset(tmp_path, [("a/1.png", 0), ("b/other name.png", 0), ("b/2.png", 0)], ["x"])
    one, copy, other = identities_of(data).tolist()
    assert one == copy != other
    assert identities_of(Subset(data, np.array([2, 0]))).tolist() == [other, one]
    assert identities_in([data]).tolist() == sorted({one, other})


def test_identities_of_some_images_leave_out_what_cannot_be_read(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.png", number)
    data = FileDataset(tmp_path, [(f"{number}.png", 0) for number in range(4)], ["x"])
    (tmp_path / "2.png").unlink()
    some = identities_of_some(data, np.array([3, 2, 1])).tolist()
    assert some == sorted(identities_of(data)[[1, 3]].tolist())
    assert identities_of_some(data, np.array([2])).tolist() == []
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2, 1)
    arrays = ArrayDataset(images, [0, 1, 1])
    assert identities_of_some(arrays, np.array([2, 0])).tolist() == identities_of_array(images[[0, 2]]).tolist()
    part = Subset(arrays, np.array([2, 1]))
    assert identities_of_some(part, np.array([0])).tolist() == identities_of(arrays)[2:].tolist()


def test_images_that_cannot_be_read_shaped_nothing(tmp_path: Path) -> None:
    from neocog.data.resize import ImageSize

    write(tmp_path / "a.png", 7)
    (tmp_path / "b.png").write_bytes(b"no image")
    data = FileDataset(tmp_path, [("a.png", 0), ("b.png", 0)], ["x"])
    data.verify(ImageSize(4, 4, 3))
    assert identities_in([data, None]).tolist() == identities_of(data)[:1].tolist()


def test_an_array_and_a_dataset_of_it_have_the_same_images() -> None:
    images = np.random.default_rng(0).integers(0, 255, (20, 5, 4, 3), np.uint8)
    assert (identities_of_array(images) == np.unique(identities_of(ArrayDataset(images, np.zeros(20, int))))).all()
    floats = images.astype(np.float32) / 255
    assert not np.isin(identities_of_array(floats), identities_of_array(images)).any()


def test_with_images_that_nobody_knows_the_whole_is_not_known() -> None:
    some = np.array([1, 5], np.uint64)
    assert union(some, np.array([2, 5], np.uint64)).tolist() == [1, 2, 5]  # type: ignore[union-attr]
    assert union(NOBODY, some).tolist() == [1, 5]  # type: ignore[union-attr]
    assert union(None, some) is None
    assert union(some, None) is None
