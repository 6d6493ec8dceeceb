"""Labelled images in files, decoded when asked for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from neocog.data.arrays import check_labels
from neocog.data.decode import MAX_BYTES
from neocog.data.encoded import EncodedDataset, digest_of
from neocog.data.encoded import content_digest as content_digest
from neocog.data.faults import unreadable_picture
from neocog.errors import DataError
from neocog.reading import expanded, open_file

Sample = tuple[str, int] | tuple[str, tuple[int, ...]]
"""The path of an image, and its label; or all that it has, where an image may have several."""


class FileDataset(EncodedDataset):
    """Labelled images in files, decoded when asked for and then kept, in memory or in a file of the cache folder.

    Arguments:
        root: the folder that relative paths start from.
        samples: (path, label) of each image, or (path, labels) of each; the path, with forward slashes, is its
            identifier.
        class_names: the name of each label.
        memory_budget: bytes of memory that decoded images may take; None for a quarter of what is available. Those that
            need more lie on disk. 0 keeps none.

    Attributes:
        samples: as given.

    Raises:
        DataError: there are no samples, or a label is out of range.

    Example:
        FileDataset("photos", [("cat/1.jpg", 0), ("dog/1.jpg", 1)], ["cat", "dog"])
    """

    def __init__(
        self,
        root: str | Path,
        samples: Sequence[Sample],
        class_names: Sequence[str],
        *,
        memory_budget: int | None = None,
    ) -> None:
        if not samples:
            raise DataError(f"{root}: there are no images")
        self.root = Path(root)
        self.samples = list(samples)
        single = [label for _, label in self.samples if not isinstance(label, tuple)]
        if single:
            labels = check_labels(np.array(single), len(self.samples), class_names)
        else:
            labels = np.zeros((len(self.samples), len(class_names)), np.int64)
            for row, (_, several) in zip(labels, self.samples, strict=True):
                row[np.array(several, np.int64)] = 1
        super().__init__([path for path, _ in self.samples], labels, class_names, memory_budget=memory_budget)

    def path(self, index: int) -> Path:
        """Return where an image lies."""
        return self.root / self.samples[index][0]

    def called(self, index: int) -> str:
        return os.fspath(self.path(index))

    def opened(self, index: int) -> BinaryIO:
        try:
            return open_file(expanded(self.path(index)))
        except (OSError, ValueError) as error:  # ValueError: no file can have this name
            raise unreadable_picture(self.called(index), error) from error

    def _read_digest(self, index: int) -> bytes | None:
        try:
            return file_digest(self.path(index))
        except (OSError, ValueError):
            return None


def file_digest(path: Path) -> bytes:
    """Return `content_digest` of a file, read in blocks.

    Raises:
        OSError, ValueError: it cannot be read, or holds more than an image file may.
    """
    with open_file(path, MAX_BYTES) as file:
        return digest_of(file)
