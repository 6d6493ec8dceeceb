"""Random numbers that hang on the seed, the epoch and the image alone, whoever asks, in whatever order.

A counter-based generator: the finaliser of SplitMix64 (Steele, Lea and Flood 2014) over a key and the image's index.
Nothing is carried from image to image, so any thread can draw for any image; and it is integers alone, so that pictures
do not change with the version of NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

GOLDEN = 0x9E3779B97F4A7C15
MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
SHIFTS = (30, 27, 31)
_MASK = 2**64 - 1
_UNIT = 2.0**-53


@dataclass(frozen=True, slots=True)
class Draws:
    """What a transform draws for some images.

    Arguments:
        seed: of the training.
        epoch: from 0.
        indices: (n,) which images.
        place: of the transform among those of a training, so that two of one kind draw apart.

    >>> one = Draws(0, 3, np.array([5, 6])).uniform(0)
    >>> bool(one[1] == Draws(0, 3, np.array([6])).uniform(0)[0])
    True
    """

    seed: int
    epoch: int
    indices: NDArray[np.int64]
    place: int = 0

    def __len__(self) -> int:
        return len(self.indices)

    def at(self, place: int) -> Draws:
        """Return the draws of another transform."""
        return replace(self, place=place)

    def words(self, number: int, *, every_epoch: bool = True) -> NDArray[np.uint64]:
        """Return (n,) 64 random bits, the `number`-th that are drawn for each image.

        Arguments:
            number: which draw.
            every_epoch: False: the same in all epochs.
        """
        key = 0
        for part in (self.seed, self.epoch + 1 if every_epoch else 0, self.place, number):
            key = _mix(key + (part + 1) * GOLDEN)
        return _mixed(np.uint64(key) + self.indices.astype(np.uint64) * np.uint64(GOLDEN))

    def uniform(
        self, number: int, low: float = 0.0, high: float = 1.0, *, every_epoch: bool = True
    ) -> NDArray[np.float64]:
        """Return (n,) numbers in [low, high)."""
        unit = (self.words(number, every_epoch=every_epoch) >> np.uint64(11)).astype(np.float64) * _UNIT
        return low + unit * (high - low)

    def chosen(self, number: int, share: float) -> NDArray[np.bool_]:
        """Return (n,) which images are among a share of all."""
        return self.uniform(number) < share

    def below(self, number: int, count: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """Return (n,) whole numbers from 0 to below `count`."""
        return (self.uniform(number) * count).astype(np.int64)

    def noise(self, number: int, place: int, count: int) -> NDArray[np.uint8]:
        """Return (count,) random bytes for the image at a place of `indices`."""
        (key,) = replace(self, indices=self.indices[place : place + 1]).words(number)
        words = _mixed(key + np.arange(-(-count // 8), dtype=np.uint64) * np.uint64(GOLDEN))
        return words.astype("<u8").view(np.uint8)[:count]


def _mix(word: int) -> int:
    word &= _MASK
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        word = (word ^ word >> shift) * multiplier & _MASK
    return word ^ word >> SHIFTS[2]


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        words = (words ^ words >> np.uint64(shift)) * np.uint64(multiplier)
    return words ^ words >> np.uint64(SHIFTS[2])
