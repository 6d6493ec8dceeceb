"""The images of each batch that one of several processes needs: those of its slices, by their places."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.nn.slicing import Slicing


@dataclass(frozen=True, slots=True)
class Share:
    """What one of several processes needs of every batch.

    Arguments:
        slicing: how batches are cut.
        batch: images of a batch, of all processes.
        rank, size: the number of the process, and of processes.

    >>> Share(Slicing(2), batch=4, rank=1, size=2).places(10).tolist()
    [2, 3, 6, 7]
    """

    slicing: Slicing
    batch: int
    rank: int
    size: int

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
        return self.slicing.images(self.slicing.slices(self.rank, self.size), self.batch, whole)

    def places(self, images: int) -> NDArray[np.int64]:
        """Return the places of the images that this process needs in an epoch of so many."""
        starts = range(0, images, self.batch)
        parts = [start + np.arange(*_ends(self.within(min(self.batch, images - start)))) for start in starts]
        return np.concatenate([np.zeros(0, np.int64), *parts])


def _ends(places: range) -> tuple[int, int]:
    return places.start, places.stop
