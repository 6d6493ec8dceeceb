"""Images of the wanted size, kept when all of them fit, so that only the first epoch decodes.

In memory where they take no more than a share of it, else in a file of the user's cache folder, which the system keeps
in memory as far as there is room; see shelf.py.

All or nothing: half a cache would make half of the epochs' cost come back, in an unpredictable place. Two sizes and
rules are kept at a time, those asked for last: images to train on may be read larger than those to measure on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike, NDArray

from neocog.data.resize import Images, ImageSize, ResizeRule
from neocog.data.shelf import Shelf, shelf_for
from neocog.errors import DataError
from neocog.forks import tell_of_forks
from neocog.resources import available_memory

_SHARE = 4  # a quarter of the memory that is available when the cache is made
_KINDS = 2  # sizes and rules that are kept at a time

Kind = tuple[ImageSize, ResizeRule]


@dataclass(frozen=True, slots=True)
class _Store:
    shelf: Shelf | None  # None: images of this kind are not kept
    present: NDArray[np.bool_]  # (count,)


class ImageCache:
    """Remembers images as they are loaded, and which ones cannot be.

    Arguments:
        count: images in all.
        budget: bytes of memory that the images may take; None means a quarter of the memory available when first used.
            0 keeps nothing.
        folder: where those lie that need more; None: they are not kept at all.

    Attributes:
        unreadable: index to reason, for every image that could not be loaded; it is not tried again.
    """

    def __init__(self, count: int, budget: int | None = None, folder: Path | None = None) -> None:
        self.unreadable: dict[int, str] = {}
        self._count = count
        self._budget = budget
        self._folder = folder
        self._stores: dict[Kind, _Store] = {}  # those asked for last come last
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
        """Return images by index, from where they are kept if they are there.

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
        kept = store.present[indices]
        if store.shelf is not None and kept.all():
            return store.shelf.take(indices), kept
        images = np.zeros((len(indices), *size.shape), dtype)
        readable = kept.copy()
        for row in map(int, np.flatnonzero(~kept)):
            index = int(indices[row])
            image = self._loaded(index, load)
            if image is not None:
                images[row], readable[row] = image, True
                # two threads may load one image twice: harmless, both write the same
                if store.shelf is not None and store.shelf.put(index, image):
                    store.present[index] = True
        if store.shelf is not None and kept.any():
            images[kept] = store.shelf.take(indices[kept])
        return images, readable

    def holds(self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule) -> bool:
        """Whether every readable one of these images is kept."""
        store = self._stores.get((size, resize))
        if store is None or store.shelf is None:
            return False
        missing = indices[~store.present[indices]]
        return all(int(i) in self.unreadable for i in missing)

    def fits(self, size: ImageSize, resize: ResizeRule, dtype: DTypeLike) -> bool:
        """Whether images of this kind are kept. It is decided now, and stays so while the same kind is asked for."""
        return self._store_for(size, resize, dtype).shelf is not None

    def _loaded(self, index: int, load: Callable[[int], Images]) -> Images | None:
        if index in self.unreadable:
            return None
        try:
            return load(index)
        except DataError as error:
            self.unreadable[index] = error.message
            return None

    def _store_for(self, size: ImageSize, resize: ResizeRule, dtype: DTypeLike) -> _Store:
        with self._lock:
            store = self._stores.pop((size, resize), None)
            if store is None:
                while len(self._stores) >= _KINDS:
                    del self._stores[next(iter(self._stores))]  # an old size makes room before memory is measured
                budget = available_memory() // _SHARE if self._budget is None else self._budget
                shelf = shelf_for(self._count, size, dtype, budget, self._folder)
                store = _Store(shelf, np.zeros(self._count, bool))
            self._stores[size, resize] = store
            return store
