"""Where training takes its batches from: a protocol, and the source for arrays in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from neocog.data.sampling import ALL, BALANCED, Sampling, balanced_tickets
from neocog.errors import SettingError, ShapeError
from neocog.model.arguments import check_count, check_seed

if TYPE_CHECKING:
    from neocog.data.augment.pipeline import Pipeline
    from neocog.data.batches import Batches
    from neocog.data.resize import Images
    from neocog.nn.graph import Graph
    from neocog.nn.share import Share
    from neocog.train.settings import TrainingSettings

Batch = tuple[NDArray[np.generic], NDArray[np.generic]]
Item = TypeVar("Item", covariant=True)


class BatchSource(Protocol):
    """Anything that gives batches, epoch after epoch.

    What it gives must depend on the epoch alone (and on its own settings), never on what was read before: that is
    what makes a resumed training bit-identical to an uninterrupted one.
    """

    @property
    def images(self) -> int:
        """Number of images of an epoch."""

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches (images (N, H, W, C), labels (N,) or rows) of one epoch; epochs count from 0."""


Step = tuple[NDArray[np.generic], NDArray[np.generic], int]
"""Images and labels of a step, and how many images it has: more than these where other processes have some too."""


class StepSource(Protocol):
    """What a training takes its steps on, epoch after epoch."""

    @property
    def images(self) -> int:
        """Number of images of an epoch."""

    def batches(self, epoch: int) -> Iterator[Step]:
        """Return the steps of one epoch."""


class WholeBatches:
    """The steps of a process that takes them alone: the batches of a source."""

    def __init__(self, source: BatchSource) -> None:
        self._source = source

    @property
    def images(self) -> int:
        """Number of images of an epoch."""
        return self._source.images

    def batches(self, epoch: int) -> Iterator[Step]:
        """Return the batches of one epoch, each with its number of images."""
        with epoch_of(self._source, epoch) as batches:
            for images, labels in batches:
                yield images, labels, len(images)


class Epochs(Protocol[Item]):
    """What has something for every epoch."""

    def batches(self, epoch: int) -> Iterator[Item]:
        """Return what an epoch has."""


class AugmentableSource(BatchSource, Protocol):
    """A source that knows which image is which, so that it can change each a little differently in every epoch."""

    def augmented(self, augment: Pipeline, outputs: int) -> BatchSource:
        """Return the same batches with images changed; of a network with so many outputs, where it mixes labels."""


class SampledSource(BatchSource, Protocol):
    """A source that can show as many images of every class."""

    def sampled(self, sampling: Sampling) -> BatchSource:
        """Return epochs of images that are chosen in this way."""


class SharedSource(BatchSource, Protocol):
    """A source that can give a process its images of each batch alone."""

    def shared(self, share: Share) -> BatchSource:
        """Return batches of the images that a process needs; batches without any are left out."""


def sampled(source: BatchSource, settings: TrainingSettings) -> BatchSource:
    """Return a source whose epochs hold the images that settings ask for.

    Raises:
        SettingError: the source cannot choose.
    """
    if settings.sampling == ALL:
        return source
    if getattr(source, "sampled", None) is None:
        raise SettingError(
            f"the batches of a {type(source).__name__} cannot be sampled: it does not say which class an image has",
            hint="give it a method sampled(sampling), as ArraySource has, or choose images in batches(epoch)",
        )
    return cast(SampledSource, source).sampled(settings.sampling)


def augmented(source: BatchSource, settings: TrainingSettings, graph: Graph) -> BatchSource:
    """Return a source whose images are augmented as settings say.

    Raises:
        SettingError: the source cannot, or the network answers pixel by pixel, and what is done to an image would have
            to be done to its labels.
    """
    if not settings.augment:
        return source
    change = getattr(source, "augmented", None)
    if change is None:
        raise SettingError(
            f"the batches of a {type(source).__name__} cannot be augmented: it does not say which image is which",
            hint="give it a method augmented(augment, outputs), as ArraySource has, or change images in batches(epoch)",
        )
    if len(graph.answer_shape) > 1:
        raise SettingError(
            "images cannot be augmented for a network that answers pixel by pixel: labels would not follow"
        )
    from neocog.data.augment.pipeline import Pipeline

    return cast(AugmentableSource, source).augmented(Pipeline(settings.augment, settings.seed), graph.classes)


@contextmanager
def epoch_of(source: Epochs[Item], epoch: int) -> Iterator[Iterator[Item]]:
    """Yield the batches of an epoch, and end what works for them (threads that decode) when the body is left."""
    batches = source.batches(epoch)
    try:
        yield batches
    finally:
        close = getattr(batches, "close", None)  # a plain iterator has nothing to close
        if close is not None:
            close()


class ArraySource:
    """Batches of arrays in memory, in an order that depends on the seed and the epoch alone.

    Arguments:
        images: (N, height, width, channels), uint8 or floating-point in [0, 1].
        labels: (N,) integers, or (N, outputs) targets.
        batch_size: images of a batch; the last batch of an epoch may be smaller.
        shuffle: whether every epoch has an order of its own.
        seed: decides the orders; 0 or more.

    >>> source = ArraySource(np.zeros((5, 2, 2, 1), np.uint8), np.arange(5), batch_size=2, shuffle=False)
    >>> [labels.tolist() for _, labels in source.batches(epoch=0)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        images: NDArray[np.generic],
        labels: NDArray[np.generic],
        *,
        batch_size: int = 64,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        self._images, self._labels = np.asarray(images), np.asarray(labels)
        if not self._images.ndim or self._labels.shape[:1] != self._images.shape[:1]:
            raise ShapeError(
                "labels must be as many as the images, got images of the shape "
                f"{self._images.shape} and labels of {self._labels.shape}"
            )
        self.batch_size = check_count("batch_size", batch_size)
        self.shuffle = shuffle
        self.seed = check_seed(seed)
        self._augment: Pipeline | None = None
        self._outputs = 0
        self._sampling: Sampling = ALL
        self._share: Share | None = None

    @property
    def images(self) -> int:
        """Number of images of an epoch."""
        return len(self._images)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of one epoch."""
        order, batch_size, images = self._order(epoch), self.batch_size, self.images
        if self._share is not None:
            places = self._share.places(self.images)
            order = places if order is None else order[places]
            batch_size, images = max(1, self._share.width), len(places)
        starts = range(0, images, batch_size)
        if self._augment is not None:
            indices = np.arange(self.images) if order is None else order
            yield from self._ahead(epoch, [indices[start : start + batch_size] for start in starts])
            return
        for start in starts:
            chosen = slice(start, start + batch_size)
            rows = chosen if order is None else order[chosen] % self.images
            yield self._images[rows], self._labels[rows]

    def _order(self, epoch: int) -> NDArray[np.int64] | None:
        """Return the tickets of an epoch (see `neocog.data.sampling`); None where images come as they lie."""
        if not self.shuffle:
            return None
        if self._sampling == BALANCED:
            return balanced_tickets(self._labels, np.arange(self.images), self.images, self.seed, epoch)
        return shuffled(self.images, self.seed, epoch)

    def sampled(self, sampling: Sampling) -> ArraySource:
        """Return the same images, as many of every class an epoch where `sampling` is "balanced"."""
        source = copy(self)
        source._sampling = sampling
        if sampling == BALANCED:
            if not self.shuffle:
                raise SettingError("balanced sampling draws an order for every epoch, got shuffle=False")
            balanced_tickets(self._labels[:0], np.arange(0), 0, 0, 0)  # refused now, not in the first epoch
        return source

    def augmented(self, augment: Pipeline, outputs: int) -> ArraySource:
        """Return the same batches with images changed, as uint8, a little ahead of who takes them."""
        source = copy(self)
        source._augment, source._outputs = augment, outputs
        return source

    def shared(self, share: Share) -> ArraySource:
        """Return batches of the images that a process needs."""
        source = copy(self)
        source._share = share
        return source

    def _ahead(self, epoch: int, chunks: list[NDArray[np.int64]]) -> Iterator[Batch]:
        from neocog.data.parallel import map_in_order, preparing_threads

        threads, augment = preparing_threads(), self._augment
        assert augment is not None

        def changed(indices: NDArray[np.int64]) -> Batch:
            rows = indices % self.images
            images = cast("Images", np.take(self._images, rows, axis=0))
            pictures = augment.pictures(images, indices, epoch, self._images.shape[1:3])
            labels, together = self._labels[rows], len(rows) if self._share is None else self._share.slice_width
            return augment.mixed_apart(pictures, labels, indices, epoch, self._outputs, together)

        with closing(map_in_order(changed, chunks, workers=threads, ahead=2 * threads)) as batches:
            yield from batches


class DataSource:
    """Batches of a dataset (folders, archives, ...), epoch after epoch.

    Arguments:
        batches: of any epoch; their settings say the rest.
        relabel: (data classes,) the label to give for each of the data's; default: the same.
        outputs: of the model: columns of relabelled rows, where images may have several labels.

    >>> from neocog.data import ArrayDataset, Batches
    >>> source = DataSource(Batches(ArrayDataset(np.zeros((5, 8, 8), np.uint8), np.zeros(5, int)), batch_size=2))
    >>> source.images, [len(labels) for _, labels in source.batches(epoch=0)]
    (5, [2, 2, 1])
    """

    def __init__(self, batches: Batches, relabel: NDArray[np.int64] | None = None, outputs: int = 0) -> None:
        self._batches = batches
        self._relabel, self._outputs = relabel, outputs

    @property
    def images(self) -> int:
        """Number of images of an epoch; where unreadable ones are skipped, without those that are known."""
        return self._batches.images

    @property
    def batch_size(self) -> int:
        """Images of a batch."""
        return self._batches.batch_size

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Return the batches of one epoch."""
        for images, labels in self._batches.at_epoch(epoch):
            yield images, labels if self._relabel is None else self._relabelled(labels, self._relabel)

    def sampled(self, sampling: Sampling) -> DataSource:
        """Return the same images, as many of every class an epoch where `sampling` is "balanced"."""
        batches = replace(self._batches, sampling=sampling)
        batches.order()  # what cannot be sampled is refused now, not in the first epoch
        return DataSource(batches, self._relabel, self._outputs)

    def augmented(self, augment: Pipeline, outputs: int) -> DataSource:
        """Return the same batches with images changed; as many classes as the data has are as many outputs."""
        return DataSource(replace(self._batches, augment=augment), self._relabel, self._outputs)

    def shared(self, share: Share) -> DataSource:
        """Return batches of the images that a process needs."""
        return DataSource(replace(self._batches, share=share), self._relabel, self._outputs)

    def _relabelled(self, labels: NDArray[Any], relabel: NDArray[np.int64]) -> NDArray[Any]:
        if labels.ndim == 1:
            renamed: NDArray[np.int64] = relabel[labels]
            return renamed
        rows, known = np.zeros((len(labels), self._outputs), labels.dtype), relabel >= 0
        rows[:, relabel[known]] = labels[:, known]
        return rows


def shuffled(count: int, seed: int, stream: int) -> NDArray[np.int64]:
    """Return the numbers below `count` in a random order that seed and stream alone decide.

    The order is that of one 64-bit random key a number, from PCG64, whose raw stream NumPy promises to keep.
    """
    keys = np.random.PCG64(np.random.SeedSequence([seed, stream])).random_raw(count)
    return np.argsort(np.asarray(keys), kind="stable")
