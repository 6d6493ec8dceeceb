"""A data set as the training loop reads it: batches of an epoch, without the images that cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neocog.data.batches import Batches
from neocog.data.dataset import Dataset
from neocog.data.resize import ImageSize, ResizeRule
from neocog.train.source import Batch


class DatasetSource:
    """Batches of a data set; their order depends on the seed and the epoch alone.

    Arguments:
        dataset: where images and labels come from; after `verify`, `images` is exact.
        size, resize: what images are brought to, and how.
        batch_size: images of a batch; the last one of an epoch may be smaller.
        shuffle: whether every epoch has an order of its own.
        seed: decides the orders.
        workers: threads that decode; None: one for each core, at most 8.
        relabel: (data classes,) the label to give for each of the data's; default: the same.
    """

    def __init__(
        self,
        dataset: Dataset,
        size: ImageSize,
        resize: ResizeRule,
        *,
        batch_size: int,
        shuffle: bool = False,
        seed: int = 0,
        workers: int | None = None,
        relabel: NDArray[np.int64] | None = None,
    ) -> None:
        self._dataset = dataset
        self._relabel = relabel
        self._batches = Batches(
            dataset,
            batch_size,
            size,
            resize=resize,
            shuffle=shuffle,
            seed=seed,
            workers=workers,
            on_error="skip",
        )

    @property
    def images(self) -> int:
        """Number of images of an epoch."""
        return len(self._dataset) - len(self._dataset.unreadable)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Give the batches of one epoch; epochs count from 0."""
        for images, labels in self._batches.at_epoch(epoch):
            yield images, labels if self._relabel is None else self._relabel[labels]
