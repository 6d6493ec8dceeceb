"""Which images an epoch shows, and in which order: each once, or of every class as many.

Where a class has few images, they come several times an epoch, and of large classes others come in every epoch; an
epoch is as long as before. An image that comes again is told from its first time by its ticket, so that augmentation
changes it in another way.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError

Sampling = Literal["all", "balanced"]
"""Each image once an epoch, or as many of every class."""

ALL: Sampling = "all"
BALANCED: Sampling = "balanced"


def balanced_tickets(
    labels: NDArray[np.int64], indices: NDArray[np.int64], total: int, seed: int, epoch: int
) -> NDArray[np.int64]:
    """Return (n,) tickets for an epoch of as many images as `indices` has, of each class alike, in a random order.

    Ticket t stands for image t modulo `total`, which comes for the (t // total + 1)-th time. Which images and which
    order hangs on seed and epoch alone.

    Arguments:
        labels: (n,) the class of each of `indices`.
        indices: (n,) images to choose from.
        total: above every index.
        seed, epoch: from 0.

    Raises:
        SettingError: images may have several labels.

    >>> tickets = balanced_tickets(np.array([0, 0, 0, 0, 0, 1]), np.arange(6), 6, seed=0, epoch=0)
    >>> sorted(tickets.tolist())[-3:]  # image 5, the only one of its class, comes three times
    [5, 11, 17]
    """
    if labels.ndim != 1:
        raise SettingError(
            "balanced sampling needs one class an image, these may have several labels",
            hint="weigh labels instead: --class-weights balanced",
        )
    bits = np.random.PCG64(np.random.SeedSequence([seed, epoch, 1]))  # a stream that no plain order uses
    classes, of_class = np.unique(labels, return_inverse=True)
    first = np.asarray(bits.random_raw(len(indices)))
    ranked = np.lexsort((first, of_class))  # class by class, in a random order within each
    sizes = np.bincount(of_class, minlength=len(classes))
    starts = np.cumsum(sizes) - sizes
    # What does not divide evenly goes to other classes in other epochs.
    shares = np.full(len(classes), len(indices) // max(1, len(classes)))
    shares[np.argsort(np.asarray(bits.random_raw(len(classes))), kind="stable")[: len(indices) - shares.sum()]] += 1
    tickets = np.concatenate(
        [
            indices[ranked[start + np.arange(share) % size]] + total * (np.arange(share) // size)
            for start, size, share in zip(starts, sizes, shares, strict=True)
        ]
        or [np.zeros(0, np.int64)]
    )
    return tickets[np.argsort(np.asarray(bits.random_raw(len(tickets))), kind="stable")]
