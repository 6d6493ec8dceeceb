"""Images that were brought to one size, in memory or in a file: two shelves, of which a cache takes one."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neocog.data.resize import Images, ImageSize
from neocog.errors import DataError
from neocog.system import can_read_at

_FREE_SHARE = 2  # a file may take a half of what its disk has left


class Shelf(Protocol):
    """Room for images by index."""

    def put(self, index: int, image: Images) -> bool:
        """Keep an image; False where there is no room after all."""

    def take(self, indices: NDArray[np.int64]) -> Images:
        """Return images that were put there, (n, height, width, channels) in fresh memory."""


class MemoryShelf:
    """Images in memory, which is taken as they arrive: zeros comes from untouched pages."""

    def __init__(self, count: int, size: ImageSize, dtype: DTypeLike) -> None:
        self._images = np.zeros((count, *size.shape), dtype)

    def put(self, index: int, image: Images) -> bool:
        """Keep an image."""
        self._images[index] = image
        return True

    def take(self, indices: NDArray[np.int64]) -> Images:
        """Return images."""
        # take copies whole images where plain indexing would walk through elements
        return cast(Images, np.take(self._images, indices, axis=0))


class FileShelf:
    """Images in a file without a name, which is gone when this process ends, however it ends.

    It is read and written by position, not mapped: what the system keeps of it in memory is not this process's, a full
    disk is an answer and not a signal, and several threads need no lock.

    Arguments:
        folder: where the file lies; made if need be.

    Raises:
        OSError: the folder cannot be written to, or its disk has not twice as much room.
    """

    def __init__(self, count: int, size: ImageSize, dtype: DTypeLike, folder: Path) -> None:
        self._shape, self._dtype = size.shape, np.dtype(dtype)
        self._bytes = size.values * self._dtype.itemsize
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < _FREE_SHARE * count * self._bytes:
            raise OSError(f"{folder}: too little room")
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - it lives as long as this

    def put(self, index: int, image: Images) -> bool:
        """Keep an image, unless the disk is full."""
        data = np.ascontiguousarray(image, self._dtype).reshape(-1).view(np.uint8)
        try:
            return os.pwrite(self._file.fileno(), data.data, index * self._bytes) == self._bytes
        except OSError:
            return False

    def take(self, indices: NDArray[np.int64]) -> Images:
        """Return images.

        Raises:
            DataError: the disk no longer gives what it took.
        """
        images: NDArray[Any] = np.empty((len(indices), *self._shape), self._dtype)
        for image, index in zip(images, indices.tolist(), strict=True):
            try:
                data = os.pread(self._file.fileno(), self._bytes, index * self._bytes)
            except OSError as error:
                raise DataError(f"decoded images cannot be read back from {self._folder}: {error.strerror}") from error
            if len(data) != self._bytes:
                raise DataError(f"decoded images in {self._folder} are fewer than were written there")
            image.reshape(-1).view(np.uint8)[:] = np.frombuffer(data, np.uint8)
        return cast(Images, images)


def shelf_for(count: int, size: ImageSize, dtype: DTypeLike, budget: int, folder: Path | None) -> Shelf | None:
    """Return room for so many images: in memory within a budget, else in a folder; None where there is neither.

    Arguments:
        budget: bytes of memory. 0 keeps nothing, on disk neither.
        folder: None for no file.
    """
    if count * size.values * np.dtype(dtype).itemsize <= budget:
        return MemoryShelf(count, size, dtype)
    if folder is None or not budget or not can_read_at():
        return None
    try:
        return FileShelf(count, size, dtype, folder)
    except OSError:
        return None
