"""Images of the wanted size, kept in memory when all of them fit, so that only the first epoch decodes.

All or nothing: half a cache would make half of the epochs' cost come back, in an unpredictable place. One size and
rule are kept at a time, those asked for last.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neocog.data.resize import Images, ImageSize, ResizeRule
from neocog.errors import DataError
from neocog.forks import tell_of_forks
from neocog.resources import available_memory

_SHARE = 4  # a quarter of the memory that is available when the cache is made


@dataclass(frozen=True, slots=True)
class _Store:
    size: ImageSize
    resize: ResizeRule
    images: NDArray[Any]  # (count, height, width, channels)
    present: NDArray[np.bool_]  # (count,)


class ImageCache:
    """Remembers images as they are loaded, and which ones cannot be.

    Arguments:
        count: images in all.
        budget: bytes that the images may take; None means a quarter of the memory available when first used.
            An image set that needs more is not kept at all. 0 keeps nothing.

    Attributes:
        unreadable: index to reason, for every image that could not be loaded; it is not tried again.
    """

    def __init__(self, count: int, budget: int | None = None) -> None:
        self.unreadable: dict[int, str] = {}
        self._count = count
        self._budget = budget
        self._store: _Store | None = None
        self._refused: tuple[ImageSize, ResizeRule] | None = None  # the last one that did not fit
        self._lock = threading.Lock()
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Open the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()

    def read(
        self,
        indices: NDArray[np.int64],
        size: ImageSize,
        resize: ResizeRule,
        dtype: DTypeLike,
        load: Callable[[int], Images],
    ) -> tuple[Images, NDArray[np.bool_]]:
        """Return images by index, from memory where they are there.

        Arguments:
            indices: (n,) which images.
            size, resize, dtype: of the images that `load` returns.
            load: makes one image; DataError marks it as unreadable, whatever else it raises, such as MemoryError, is
                the caller's and says nothing of the image. Called in the caller's thread.

        Returns:
            images (n, height, width, channels) in fresh memory, and readable (n,). Where readable is False the image
            is zeros.
        """
        store = self._store_for(size, resize, dtype)
        if store is None:
            images = np.zeros((len(indices), *size.shape), dtype)
            readable = np.array([self._load(images, row, int(i), load) for row, i in enumerate(indices)], bool)
            return images, readable
        for i in indices[~store.present[indices]]:
            # two threads may load one image twice: harmless, both write the same
            if self._load(store.images, int(i), int(i), load):
                store.present[i] = True
        return cast(Images, np.take(store.images, indices, axis=0)), store.present[indices]

    def holds(self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule) -> bool:
        """Whether every readable one of these images is in memory."""
        store = self._store
        if store is None or (store.size, store.resize) != (size, resize):
            return False
        missing = indices[~store.present[indices]]
        return all(int(i) in self.unreadable for i in missing)

    def fits(self, size: ImageSize, resize: ResizeRule, dtype: DTypeLike) -> bool:
        """Whether images of this kind are kept. It is decided now, and stays so while the same kind is asked for."""
        return self._store_for(size, resize, dtype) is not None

    def _load(self, into: NDArray[Any], row: int, index: int, load: Callable[[int], Images]) -> bool:
        if index in self.unreadable:
            return False
        try:
            into[row] = load(index)
        except DataError as error:
            self.unreadable[index] = error.message
            return False
        return True

    def _store_for(self, size: ImageSize, resize: ResizeRule, dtype: DTypeLike) -> _Store | None:
        with self._lock:
            store = self._store
            if store is not None and (store.size, store.resize) == (size, resize):
                return store
            if self._refused == (size, resize):
                return None
            self._store = None  # the old size makes room before memory is measured
            budget = available_memory() // _SHARE if self._budget is None else self._budget
            if self._count * size.values * np.dtype(dtype).itemsize > budget:
                self._refused = (size, resize)
                return None
            # zeros comes from untouched pages: memory is taken as images arrive
            images = np.zeros((self._count, *size.shape), dtype)
            self._store = _Store(size, resize, images, np.zeros(self._count, bool))
            return self._store
