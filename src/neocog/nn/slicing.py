"""A training step in slices: fixed parts of its batch, whose gradients are added up in a tree that never changes.

Slice s of a batch of up to B images in S slices has the images from ⌈B / S⌉ · s on. What it gives does not depend on
who computes it, and the tree is one of the slices, not of those who compute: so one process, or several that share the
slices, get the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from neocog.errors import SettingError

USUAL_SLICES = 8
LEAST_IMAGES = 8  # of a slice, as long as there are slices enough: fewer keep kernels waiting


@dataclass(frozen=True, slots=True)
class Slicing:
    """How a step's batch is cut.

    Arguments:
        count: number of slices.
        sync_norms: whether each BatchNorm2d takes the statistics of the whole batch, and not those of a slice.

    >>> [slicing.images(slicing.slices(rank, 2), batch=10) for slicing in (Slicing(4),) for rank in range(2)]
    [range(0, 6), range(6, 10)]
    """

    count: int
    sync_norms: bool = False

    def __post_init__(self) -> None:
        if self.count < 1:
            raise SettingError(f"a step needs at least one slice, got {self.count}")

    def width(self, batch: int) -> int:
        """Return the most images of a slice of a batch of at most so many."""
        return -(-batch // self.count)

    def slices(self, rank: int, size: int) -> range:
        """Return the slices that one of several processes computes; neighbours, as many as the others have, or one
        more.
        """
        return range(self.count * rank // size, self.count * (rank + 1) // size)

    def images(self, slices: range, batch: int, whole: int | None = None) -> range:
        """Return the places of the images of neighbouring slices in a batch of at most so many images, which may have
        fewer: `whole`.
        """
        width, end = self.width(batch), batch if whole is None else whole
        return range(min(end, slices.start * width), min(end, slices.stop * width))


def usual_slices(batch: int, ranks: int) -> int:
    """Return how many slices a batch is cut into where nobody says so: as many for 1, 2, 4 or 8 processes.

    >>> usual_slices(128, 2), usual_slices(32, 2), usual_slices(64, 3)
    (8, 4, 8)
    """
    slices = USUAL_SLICES
    while slices > 1 and batch < slices * LEAST_IMAGES:
        slices //= 2
    while slices < ranks:
        slices *= 2
    return slices


def subtrees(first: int, behind: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield the largest subtrees of the tree over slices 0 … count - 1 that lie within first … behind - 1, as ranges.

    The tree halves its slices, the left half being the larger one, until there is one.

    >>> list(subtrees(0, 4, 8)), list(subtrees(3, 8, 8))
    ([(0, 4)], [(3, 4), (4, 8)])
    """
    yield from _within(first, behind, 0, count)


def halves(low: int, high: int) -> int:
    """Return where a subtree over low … high - 1 is cut in two."""
    return low + (high - low + 1) // 2


def _within(first: int, behind: int, low: int, high: int) -> Iterator[tuple[int, int]]:
    if behind <= low or high <= first:
        return
    if first <= low and high <= behind:
        yield low, high
        return
    middle = halves(low, high)
    yield from _within(first, behind, low, middle)
    yield from _within(first, behind, middle, high)
