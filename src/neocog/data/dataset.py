"""Labelled images, whatever they are stored in.

Dataset        what every kind can do
├── ArrayDataset   (arrays.py)  images in an array
├── EncodedDataset (encoded.py) images in files or packed into few of them, decoded when asked for
└── Subset         some images of another dataset
Source         what a location holds, as found
DataSplits     the parts that training works with
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from neocog.data.compact import PackedDigests, PackedNames
from neocog.data.parallel import map_in_order, worker_count
from neocog.data.resize import DEFAULT_RESIZE, Images, ImageSize, ResizeRule
from neocog.errors import DataError

ReadProgress: TypeAlias = Callable[[int, int], None]
"""Called with (done, total) as a long pass goes on."""

TASK_IMAGES = 16
"""Images that one thread reads at a time: enough to hide the hand-over, few enough to spread."""


SEPARATOR = "|"
"""Between the names of several labels, where they are written in one cell."""


class ImageFacts(NamedTuple):
    """One image as stored: pixels upright, Pillow's mode (or the array's kind), hash of its content; and a thumbnail of
    32 x 32 grey pixels, row after row, see near.py.
    """

    height: int
    width: int
    mode: str
    digest: bytes
    thumbnail: bytes


class Dataset(ABC):
    """Labelled images: N of them, each with a label in 0..classes-1, or any number of labels, and a name that stays.

    Attributes:
        class_names: the name of each label, in order.
        labels: (N,) int64; where an image may have several, rows (N, classes), 1 for each that it has.
        identifiers: N stable names, such as "train/dress/06a0.jpg" or "test/123".
    """

    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    identifiers: Sequence[str]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def several_labels(self) -> bool:
        """Whether an image may have several labels, or none."""
        return self.labels.ndim == 2

    def label_text(self, index: int) -> str:
        """Return the name of an image's label; of several, all with | between."""
        label = self.labels[index]
        names = [self.class_names[place] for place in np.flatnonzero(label)] if self.several_labels else None
        return self.class_names[label] if names is None else SEPARATOR.join(names)

    @property
    @abstractmethod
    def native_size(self) -> ImageSize | None:
        """The size that all images have, or None where they vary."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """1 where all images are grey, else 3, or what the array has."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the images that `images` returns: uint8, or float32 where the source was floating-point."""
        return np.dtype(np.uint8)

    @property
    def unreadable(self) -> Mapping[int, str]:
        """Index to reason, for images that could not be read so far; complete after `verify`."""
        return {}

    @abstractmethod
    def read(
        self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE
    ) -> tuple[Images, NDArray[np.bool_]]:
        """Return images by index, and which of them could be read.

        Arguments:
            indices: (n,) which images.
            size: height, width and channels wanted.
            resize: how images of another size are brought to it, see resize.py.

        Returns:
            images (n, height, width, channels) and readable (n,); an unreadable image is zeros, and noted in
            `unreadable`.
        """

    @abstractmethod
    def digests(self, progress: ReadProgress | None = None) -> Sequence[bytes]:
        """Return 16 bytes per image that depend on its content alone: its file's bytes, or its pixels.

        The first call reads everything once; later ones cost nothing.
        """

    def digests_of(self, indices: NDArray[np.int64]) -> list[bytes | None]:
        """Return `digests` of some images, and read no others; None for one that cannot be read.

        Arguments:
            indices: (n,) which images. Nothing is decoded, so damage inside of a file is not noticed.
        """
        whole, lost = self.digests(), self.unreadable
        return [None if int(i) in lost else whole[i] for i in indices]

    @abstractmethod
    def facts(self, index: int) -> ImageFacts:
        """Decode one image and describe it.

        Raises:
            DataError: it cannot be read.
        """

    def resident(self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE) -> bool:
        """Whether `read` only copies memory, or a file of pixels, for these images: no decoding, no resizing."""
        return False

    def fits(self, size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE) -> bool:
        """Whether images of this size are kept once they were read; if not, each epoch decodes them again.

        It is decided when first asked for, by the memory that is then available; ask before `verify`, or after it.
        """
        return True

    def images(
        self,
        indices: NDArray[np.int64] | None = None,
        size: ImageSize | None = None,
        resize: ResizeRule = DEFAULT_RESIZE,
    ) -> Images:
        """Return images by index.

        Arguments:
            indices: (n,) which images; None means all.
            size: height, width and channels wanted; None means the size that all of them have.
            resize: how images of another size are brought to it.

        Returns:
            (n, height, width, channels) uint8, or float32 in [0, 1] where `dtype` says so.

        Raises:
            DataError: one of them cannot be read, the message names it; or no size is given, and theirs vary.
        """
        size = size or self.native_size
        if size is None:
            raise DataError("the images vary in size: a size is needed", hint="pass size=ImageSize(96, 96, 3)")
        indices = np.arange(len(self)) if indices is None else np.asarray(indices, np.int64)
        images, readable = self.read(indices, size, resize)
        if not readable.all():
            raise DataError(self.unreadable[int(indices[~readable][0])])
        return images

    def verify(
        self,
        size: ImageSize,
        resize: ResizeRule = DEFAULT_RESIZE,
        *,
        workers: int | None = None,
        progress: ReadProgress | None = None,
    ) -> Mapping[int, str]:
        """Read every image once, so that `unreadable` is complete, and memory holds them if they fit.

        Call it before the first epoch: the epoch then starts from memory, `len(Batches)` is exact, and the files to
        be skipped can be listed once.

        Arguments:
            size, resize: those of the batches to come.
            workers: threads; None for one per core.
            progress: called with images done and in all.

        Returns:
            `unreadable`.
        """
        everything = np.arange(len(self))
        if not self.resident(everything, size, resize):
            threads = worker_count(workers)
            chunks = [everything[start : start + TASK_IMAGES] for start in range(0, len(self), TASK_IMAGES)]

            def read(chunk: NDArray[np.int64]) -> int:
                self.read(chunk, size, resize)
                return len(chunk)

            done = 0
            with closing(map_in_order(read, chunks, workers=threads, ahead=4 * threads)) as counts:
                for count in counts:
                    done += count
                    if progress is not None:
                        progress(done, len(self))
        return self.unreadable

    def counts(self) -> NDArray[np.int64]:
        """Return (classes,) the number of images of each class."""
        if self.several_labels:
            counts: NDArray[np.int64] = self.labels.sum(axis=0)
            return counts
        return np.bincount(self.labels, minlength=len(self.class_names)).astype(np.int64)

    # torchvision's names for the same things

    @property
    def classes(self) -> list[str]:
        """`class_names`, as torchvision calls them."""
        return list(self.class_names)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Class name to label."""
        return {name: label for label, name in enumerate(self.class_names)}

    @property
    def targets(self) -> list[Any]:
        """`labels`, as torchvision calls them."""
        targets: list[Any] = self.labels.tolist()
        return targets


class Subset(Dataset):
    """Some images of another dataset, which keeps the pixels and the memory of decoded files.

    Arguments:
        dataset: the whole.
        indices: (n,) which of its images, in order.
    """

    def __init__(self, dataset: Dataset, indices: NDArray[np.int64]) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, np.int64)
        self.class_names = dataset.class_names
        self.labels = dataset.labels[self.indices]
        names = dataset.identifiers
        self.identifiers = (
            names.take(self.indices) if isinstance(names, PackedNames) else [names[i] for i in self.indices]
        )

    @property
    def native_size(self) -> ImageSize | None:
        return self.dataset.native_size

    @property
    def channels(self) -> int:
        return self.dataset.channels

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.dataset.dtype

    @property
    def unreadable(self) -> Mapping[int, str]:
        whole = self.dataset.unreadable
        return {i: whole[int(inner)] for i, inner in enumerate(self.indices) if int(inner) in whole} if whole else {}

    def read(
        self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE
    ) -> tuple[Images, NDArray[np.bool_]]:
        return self.dataset.read(self.indices[indices], size, resize)

    def resident(self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE) -> bool:
        return self.dataset.resident(self.indices[indices], size, resize)

    def fits(self, size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE) -> bool:
        return self.dataset.fits(size, resize)

    def digests(self, progress: ReadProgress | None = None) -> Sequence[bytes]:
        whole = self.dataset.digests(progress)
        return whole.take(self.indices) if isinstance(whole, PackedDigests) else [whole[i] for i in self.indices]

    def digests_of(self, indices: NDArray[np.int64]) -> list[bytes | None]:
        return self.dataset.digests_of(self.indices[indices])

    def facts(self, index: int) -> ImageFacts:
        return self.dataset.facts(int(self.indices[index]))


@dataclass(frozen=True)
class Source:
    """What a location holds, before anything is split.

    Arguments:
        name: short, for people: the folder's or file's name.
        kind: what it is, such as "image folder" or "IDX (MNIST family)".
        train, validation, test: the parts that the source itself sets apart.
        unsplit: all images, where the source sets nothing apart; the others are then None.
        notes: what a user should know, such as files that were left out.
        empty_classes: class folders without an image; they are in no `class_names`.
    """

    name: str
    kind: str
    train: Dataset | None = None
    validation: Dataset | None = None
    test: Dataset | None = None
    unsplit: Dataset | None = None
    notes: tuple[str, ...] = ()
    empty_classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataSplits:
    """The parts that training works with; all have the same class names.

    Arguments:
        train: the images to learn from.
        validation: those that choose the best epoch, or None.
        test: those for the final figures, or None.
        name: short, for people: the folder's or file's name.
        source: what it is and how it was split, in one line.
        notes: what a user should know, such as files that were left out.
        empty_classes: class folders without an image.
    """

    train: Dataset
    validation: Dataset | None
    test: Dataset | None
    name: str = "data"
    source: str = ""
    notes: tuple[str, ...] = ()
    empty_classes: tuple[str, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label, in order."""
        return self.train.class_names

    def items(self) -> list[tuple[str, Dataset]]:
        """Return (name, dataset) of the parts that are there: train, validation, test."""
        parts = (("train", self.train), ("validation", self.validation), ("test", self.test))
        return [(name, part) for name, part in parts if part is not None]
