"""Which image is which: the same content is the same image, whatever its file is called and wherever it lies.

An image's identity is the first 64 bits of its digest (`Dataset.digests`): of its file's bytes, or of its pixels where
it comes from an array. So a copy, a move, another spelling of the path or a table of the same files change nothing;
a file that was saved anew, or pixels taken out of a file, are another image. Among a million images, two different
ones share an identity with a probability of 3 in 100 million.

A model keeps the identities of all images that shaped it, those of training and those that chose its best epoch, so
that nobody measures it on them by mistake.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from neocog.data.arrays import array_digests
from neocog.data.dataset import Dataset, ReadProgress

Identities: TypeAlias = NDArray[np.uint64]
"""(n,) rising and without repetition: a set of images."""

IDENTITY_BYTES = 8
NOBODY: Identities = np.empty(0, np.uint64)
"""No image."""
NOBODY.flags.writeable = False


def identities_of(dataset: Dataset, progress: ReadProgress | None = None) -> NDArray[np.uint64]:
    """Return (N,) the identity of each image, in the order of the dataset.

    Arguments:
        dataset: whose images.
        progress: called with (done, total) while files are read.

    Example:
        >>> from neocog.data.arrays import ArrayDataset
        >>> data = ArrayDataset(np.array([[[0]], [[1]], [[0]]], np.uint8), [0, 1, 0])
        >>> first, second, third = identities_of(data)
        >>> first == third, first == second
        (True, False)
    """
    return _identities(dataset.digests(progress))


def identities_of_some(dataset: Dataset, indices: NDArray[np.int64]) -> Identities:
    """Return the set of some images of a dataset, of which no others are read; those that cannot be are left out."""
    return np.unique(_identities([digest for digest in dataset.digests_of(indices) if digest is not None]))


def identities_of_array(images: NDArray[np.uint8] | NDArray[np.float32]) -> Identities:
    """Return the set of the images of an array (N, height, width, channels)."""
    return np.unique(_identities(array_digests(images)))


def identities_in(datasets: Iterable[Dataset | None], progress: ReadProgress | None = None) -> Identities:
    """Return the set of all images of some datasets that can be read, as far as `Dataset.unreadable` knows."""
    found = [NOBODY]
    for dataset in datasets:
        if dataset is not None:
            readable = np.ones(len(dataset), bool)
            readable[list(dataset.unreadable)] = False
            found.append(identities_of(dataset, progress)[readable])
    return np.unique(np.concatenate(found))


def union(one: Identities | None, other: Identities | None) -> Identities | None:
    """Return the images of both sets; None, which stands for images that nobody knows, makes the whole unknown."""
    return None if one is None or other is None else np.union1d(one, other)


def _identities(digests: Iterable[bytes]) -> NDArray[np.uint64]:
    return np.frombuffer(b"".join(digest[:IDENTITY_BYTES] for digest in digests), "<u8").astype(np.uint64)
