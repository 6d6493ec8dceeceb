"""What one of several processes computes of each step: some of its slices, and the images in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.errors import DataError, SettingError
from neocog.nn.slicing import Slicing, usual_slices


@dataclass(frozen=True, slots=True)
class Share:
    """What one of several processes needs of every batch.

    Arguments:
        slicing: how batches are cut.
        batch: images of a batch, of all processes.
        rank, size: the number of the process, and of processes.

    Raises:
        SettingError: there are fewer slices than processes.

    >>> share = Share(Slicing(4), batch=8, rank=1, size=2)
    >>> share.slices, share.within(7), share.within_own(3, 7)
    (range(2, 4), range(4, 7), range(2, 3))
    >>> share.places(15).tolist()
    [4, 5, 6, 7, 12, 13, 14]
    """

    slicing: Slicing
    batch: int
    rank: int
    size: int

    def __post_init__(self) -> None:
        if self.slicing.count < self.size:
            raise SettingError(
                f"{self.slicing.count} slices cannot be shared by {self.size} processes",
                hint=f"begin with more slices, such as slices={usual_slices(self.batch, self.size)}",
            )

    @property
    def slices(self) -> range:
        """Which slices this process computes."""
        return self.slicing.slices(self.rank, self.size)

    @property
    def width(self) -> int:
        """The most images of a batch that this process needs."""
        return len(self.within(self.batch))

    @property
    def slice_width(self) -> int:
        """The most images of a slice."""
        return self.slicing.width(self.batch)

    def within(self, whole: int) -> range:
        """Return the places, in a batch of so many images, of those that this process needs."""
        return self.slicing.images(self.slices, self.batch, whole)

    def within_own(self, number: int, whole: int) -> range:
        """Return the places of the images of a slice among those that this process needs; none where the batch of so
        many images ends before it.
        """
        first = self.within(whole).start
        images = self.slicing.images(range(number, number + 1), self.batch, whole)
        return range(images.start - first, images.stop - first)

    def places(self, images: int) -> NDArray[np.int64]:
        """Return the places of the images that this process needs in an epoch of so many."""
        starts = range(0, images, self.batch)
        parts = [start + np.arange(*_ends(self.within(min(self.batch, images - start)))) for start in starts]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def check(self, given: int, whole: int | None) -> int:
        """Return the images of a batch of all processes.

        Arguments:
            given: images that this process was given.
            whole: those of all processes; None: as many.

        Raises:
            SettingError: a batch has no such number of images.
            DataError: this process needs another number of them.
        """
        whole = given if whole is None else whole
        if not 0 < whole <= self.batch:
            raise SettingError(f"a step takes 1 to {self.batch} images, got {whole}")
        wanted = len(self.within(whole))
        if given != wanted:
            raise DataError(f"process {self.rank} needs {wanted} of the {whole} images of a step, got {given}")
        return whole


def _ends(places: range) -> tuple[int, int]:
    return places.start, places.stop
