"""Batches of images and labels in an order that the seed and the epoch alone decide.

Images are decoded, gathered and augmented by threads ahead of their consumer. Neither the number of threads nor what is
in memory changes the order, the pixels, or where batches begin.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from neocog.data.augment.pipeline import UNCHANGED, Pipeline
from neocog.data.dataset import TASK_IMAGES, Dataset
from neocog.data.parallel import map_in_order, preparing_threads, worker_count
from neocog.data.resize import DEFAULT_RESIZE, Images, ImageSize, ResizeRule, check_rule
from neocog.data.sampling import ALL, BALANCED, Sampling, balanced_tickets
from neocog.data.split import check_seed
from neocog.errors import DataError, SettingError
from neocog.nn.share import Share

OnError = Literal["raise", "skip"]
Batch: TypeAlias = tuple[Images, NDArray[np.int64] | NDArray[np.float32]]

_GATHER_BYTES = 1 << 20  # copied per task where images are in memory: several batches share one hand-over


@dataclass(frozen=True)
class Batches:
    """One epoch of batches; iterate it as often as you like.

    Arguments:
        dataset: where images and labels come from.
        batch_size: images per batch; the last batch of an epoch is as short as it comes.
        size: height, width and channels of the images; None takes the dataset's own.
        indices: (n,) which images; None for all.
        resize: how images of another size are brought to `size`.
        shuffle: draw an order from (seed, epoch); False keeps the order of `indices`.
        seed: whole number from 0.
        epoch: whole number from 0; each has its own order.
        workers: threads that decode; None for one per core, at most 8; 0 for none.
        on_error: "raise" an unreadable image's DataError in its turn, or "skip" the image and fill its place with
            the next. `dataset.unreadable` lists what was skipped.
        sampling: "all", each image once an epoch; "balanced", of every class as many, where images are shuffled.
        augment: what is done to each image. Images are then uint8; and labels are rows of shares where it mixes them.
        share: what one of several processes needs of each batch; None for all. Images are then mixed within slices.

    Raises:
        SettingError: an argument is out of its range.
        DataError: on iteration, an image that cannot be read.

    Example:
        >>> from neocog.data.arrays import ArrayDataset
        >>> data = ArrayDataset(np.zeros((10, 8, 8), np.uint8), np.zeros(10, int))
        >>> [len(images) for images, labels in Batches(data, 4)]
        [4, 4, 2]
    """

    dataset: Dataset
    batch_size: int
    size: ImageSize | None = None
    indices: NDArray[np.int64] | None = None
    resize: ResizeRule = DEFAULT_RESIZE
    shuffle: bool = False
    seed: int = 0
    epoch: int = 0
    workers: int | None = None
    on_error: OnError = "raise"
    sampling: Sampling = ALL
    augment: Pipeline = UNCHANGED
    share: Share | None = None

    def __post_init__(self) -> None:
        for name, value, least in (("batch_size", self.batch_size, 1), ("epoch", self.epoch, 0)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise SettingError(f"{name} needs a whole number of at least {least}, got {value!r}")
        check_seed(self.seed)
        check_rule(self.resize)
        worker_count(self.workers)
        if self.on_error not in ("raise", "skip"):
            raise SettingError(f"on_error must be one of raise, skip, got {self.on_error!r}")
        if self.size is None and self.dataset.native_size is None:
            raise SettingError("batches need a size: the images of this dataset differ in theirs", hint="pass size=")
        if self.indices is not None:
            self._check_indices(np.asarray(self.indices))

    def at_epoch(self, epoch: int) -> Batches:
        """Return the batches of another epoch."""
        return replace(self, epoch=epoch)

    def order(self) -> NDArray[np.int64]:
        """Return (n,) the images in the order of this epoch, unreadable ones included: their indices, or their tickets
        where they are sampled (see `neocog.data.sampling`, which leaves unreadable ones out if these are skipped).

        The order is that of one 64-bit random key per image (PCG64, whose raw stream NumPy promises to keep), so that
        it does not change with the version of NumPy, as that of `Generator.permutation` may.
        """
        indices = np.arange(len(self.dataset)) if self.indices is None else np.asarray(self.indices, np.int64)
        if not self.shuffle:
            return indices
        if self.sampling == BALANCED:
            if self.on_error == "skip":
                indices = indices[self._readable(indices)]
            labels = self.dataset.labels[indices]
            return balanced_tickets(labels, indices, len(self.dataset), int(self.seed), int(self.epoch))
        bits = np.random.PCG64(np.random.SeedSequence([int(self.seed), int(self.epoch)]))
        keys = np.asarray(bits.random_raw(len(indices)))
        return indices[np.argsort(keys, kind="stable")]

    @property
    def images(self) -> int:
        """Number of images of an epoch, as far as unreadable ones are known: exact after `dataset.verify`."""
        images = len(self.dataset) if self.indices is None else len(self.indices)
        if self.on_error == "skip":
            images = int(np.count_nonzero(self._readable(self.order())))
        return images

    def __len__(self) -> int:
        """Return the number of batches, as far as `images` is known."""
        return -(-self.images // self.batch_size)

    def __iter__(self) -> Generator[Batch, None, None]:
        """Yield (images, labels): (b, height, width, channels) uint8 or float32, and (b,) int64, or rows
        (b, classes) where images may have several labels, or are mixed.
        """
        order = self.order()
        if self.on_error == "skip":
            order = order[self._readable(order)]
        wanted = self
        if self.share is not None:
            order = order[self.share.places(len(order))]
            wanted = replace(self, batch_size=max(1, self.share.width))
        size = self.read_size()
        if self.dataset.resident(self._images(order), size, self.resize):
            return wanted._gather(order, size)
        return wanted._decode(order, size)

    def read_size(self) -> ImageSize:
        """Return the size that images are read in; `dataset.verify` at this size makes epochs start from memory."""
        return self.augment.read_size(self._size, self.dataset.native_size)

    @property
    def _size(self) -> ImageSize:
        size = self.size or self.dataset.native_size
        assert size is not None  # checked at construction
        return size

    def _augmented(self, images: Images, indices: NDArray[np.int64]) -> Images:
        if not self.augment:
            return images
        return self.augment.pictures(images, indices, self.epoch, self._size.shape[:2])

    def _mixed(self, images: Images, indices: NDArray[np.int64]) -> Batch:
        """Return one batch as the consumer gets it."""
        labels = self.dataset.labels[self._images(indices)]
        if not self.augment.mixes:
            return images, labels
        pictures = cast(NDArray[np.uint8], images)  # which is what augmenting gives
        together = self.batch_size if self.share is None else self.share.slice_width
        return self.augment.mixed_apart(pictures, labels, indices, self.epoch, len(self.dataset.class_names), together)

    def _gather(self, order: NDArray[np.int64], size: ImageSize) -> Generator[Batch, None, None]:
        """Copy from memory, several batches at a time, in a background thread, or a few."""
        image_bytes = size.values * self.dataset.dtype.itemsize
        step = self.batch_size * max(1, _GATHER_BYTES // (image_bytes * self.batch_size))

        def gather(start: int) -> list[Batch]:
            chunk = order[start : start + step]
            images = self._augmented(self.dataset.images(self._images(chunk), size, self.resize), chunk)
            # slices of memory made for this chunk alone: nobody else writes there
            parts = [slice(at, at + self.batch_size) for at in range(0, len(chunk), self.batch_size)]
            return [self._mixed(images[part], chunk[part]) for part in parts]

        starts = range(0, len(order), step)
        threads = min(preparing_threads(), worker_count(self.workers))
        with contextlib.closing(map_in_order(gather, starts, workers=threads, ahead=2 * max(1, threads))) as chunks:
            for batches in chunks:
                yield from batches

    def _decode(self, order: NDArray[np.int64], size: ImageSize) -> Generator[Batch, None, None]:
        """Decode in threads, a few images per task, and fill batches with what can be read."""
        threads = worker_count(self.workers)
        step = min(TASK_IMAGES, self.batch_size)
        ahead = 2 * threads + -(-2 * self.batch_size // step)  # work for every thread, and two batches

        def decode(start: int) -> tuple[Images, NDArray[np.int64]]:
            chunk = order[start : start + step]
            if self.on_error == "raise":
                images = self.dataset.images(self._images(chunk), size, self.resize)
            else:
                images, readable = self.dataset.read(self._images(chunk), size, self.resize)
                if not readable.all():
                    images, chunk = images[readable], chunk[readable]
            return self._augmented(images, chunk), chunk

        images, indices, filled = self._empty(), np.empty(self.batch_size, np.int64), 0
        starts = range(0, len(order), step)
        with contextlib.closing(map_in_order(decode, starts, workers=threads, ahead=ahead)) as chunks:
            for chunk_images, chunk in chunks:
                taken = 0
                while taken < len(chunk):
                    count = min(len(chunk) - taken, self.batch_size - filled)
                    images[filled : filled + count] = chunk_images[taken : taken + count]
                    indices[filled : filled + count] = chunk[taken : taken + count]
                    taken, filled = taken + count, filled + count
                    if filled == self.batch_size:
                        yield self._mixed(images, indices)
                        images, filled = self._empty(), 0  # the consumer may keep what it was given
        if filled:
            yield self._mixed(images[:filled], indices[:filled])

    def _images(self, tickets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the indices that tickets stand for."""
        return tickets if self.sampling == ALL else tickets % len(self.dataset)

    def _empty(self) -> NDArray[Any]:
        return np.empty((self.batch_size, *self._size.shape), np.uint8 if self.augment else self.dataset.dtype)

    def _readable(self, order: NDArray[np.int64]) -> NDArray[np.bool_]:
        unreadable = list(self.dataset.unreadable)
        return ~np.isin(self._images(order), unreadable) if unreadable else np.ones(len(order), bool)

    def _check_indices(self, indices: NDArray[Any]) -> None:
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise DataError(f"indices need to be integers of shape (n,), got {indices.dtype} of shape {indices.shape}")
        if len(indices) and not (indices.min() >= 0 and indices.max() < len(self.dataset)):
            raise DataError(f"indices need to lie in 0..{len(self.dataset) - 1}, got {indices.min()}..{indices.max()}")
