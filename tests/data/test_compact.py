from __future__ import annotations

import sys

import numpy as np

from neocog.data.compact import PackedDigests, PackedNames
from neocog.data.dataset import Subset
from neocog.data.encoded import content_digest
from neocog.data.files import FileDataset


def test_names_and_digests_are_what_lists_of_them_are() -> None:
    names = ["a/1.jpg", "", "猫.png", "raw\udcff.jpg"]
    packed = PackedNames.of(names)
    assert packed == names
    assert names == packed
    assert packed[-1] == names[-1]
    assert packed[1:3] == names[1:3]
    assert packed.take(np.array([3, 0])) == [names[3], names[0]]
    assert list(reversed(packed)) == names[::-1]
    assert packed != ["a"]
    digests = [content_digest(bytes([number])) for number in range(5)]
    assert PackedDigests.of(digests) == digests
    assert PackedDigests.of(digests)[1:3] == digests[1:3]
    assert PackedDigests.of(digests).take(np.array([4, 4])) == [digests[4], digests[4]]
    assert PackedDigests.of([]) == []


def test_a_hundred_thousand_take_little_memory() -> None:
    names = PackedNames.of(f"photos-{number % 100:06d}.tar/{number:09d}.jpg" for number in range(100_000))
    held = len(names._content) + names._starts.nbytes + names._lengths.nbytes
    assert held / 100_000 < 45
    assert sys.getsizeof(names[0]) > 70  # bytes that each would take as a str


def test_a_subset_stays_compact(tmp_path, save_image) -> None:
    for number in range(3):
        save_image(f"{number}.png", number)
    data = FileDataset(tmp_path, [(f"{number}.png", 0) for number in range(3)], ["a"])
    part = Subset(data, np.array([2, 0]))
    assert isinstance(part.digests(), PackedDigests)
    assert part.digests() == [data.digests()[2], data.digests()[0]]
