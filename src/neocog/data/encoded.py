"""Labelled images as somebody encoded them (JPEG, PNG, …), decoded when asked for and then kept.

EncodedDataset        what all of them can do; a kind says how an image's bytes are opened
├── FileDataset       (files.py)    a file each
├── TarDataset        (tar.py)      members of tar archives, read where they lie
└── ParquetDataset    (parquet.py)  values of a Parquet file's column
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cached_property
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from neocog.data.cache import ImageCache
from neocog.data.channels import GREY_MODES
from neocog.data.compact import DIGEST_BYTES, PackedDigests
from neocog.data.dataset import TASK_IMAGES, Dataset, ImageFacts, ReadProgress
from neocog.data.decode import fit_image, read_open_header, read_open_image
from neocog.data.near import SIDE
from neocog.data.parallel import map_in_order, worker_count
from neocog.data.resize import DEFAULT_RESIZE, Images, ImageSize, ResizeRule
from neocog.errors import DataError
from neocog.resources import cache_folder

_BLOCK = 1 << 20  # bytes hashed at a time


class EncodedDataset(Dataset):
    """Labelled images that are decoded when asked for and then kept, in memory or in a file of the cache folder.

    Arguments:
        identifiers: the name of each image.
        labels: (N,), or rows (N, classes) where an image may have several.
        class_names: the name of each label.
        memory_budget: bytes of memory that decoded images may take; None for a quarter of what is available. Those that
            need more lie on disk. 0 keeps none.
    """

    def __init__(
        self,
        identifiers: Sequence[str],
        labels: NDArray[np.int64],
        class_names: Sequence[str],
        *,
        memory_budget: int | None = None,
    ) -> None:
        self.identifiers, self.labels, self.class_names = identifiers, labels, tuple(class_names)
        cache = cache_folder()
        self._cache = ImageCache(len(labels), memory_budget, None if cache is None else cache / "images")
        self._digests: PackedDigests | None = None

    @abstractmethod
    def called(self, index: int) -> str:
        """Return what errors call an image: where it lies."""

    @abstractmethod
    def opened(self, index: int) -> BinaryIO:
        """Return an image's bytes as a file that can be positioned, open at its start.

        Raises:
            DataError: there are none, or more than an image may have.
        """

    @property
    def native_size(self) -> ImageSize | None:
        return self._headers[0]

    @property
    def channels(self) -> int:
        return self._headers[1]

    @property
    def unreadable(self) -> Mapping[int, str]:
        # in the order of the images, not in that of their discovery by threads, which may still add to the original
        return dict(sorted(dict(self._cache.unreadable).items()))

    def read(
        self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE
    ) -> tuple[Images, NDArray[np.bool_]]:
        return self._cache.read(
            np.asarray(indices, np.int64), size, resize, np.uint8, lambda i: self._decoded(i, size, resize)
        )

    def resident(self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE) -> bool:
        return self._cache.holds(indices, size, resize)

    def fits(self, size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE) -> bool:
        return self._cache.fits(size, resize, np.uint8)

    def digests(self, progress: ReadProgress | None = None) -> Sequence[bytes]:
        if self._digests is None:
            found = bytearray()
            tasks = [range(len(self))[start : start + TASK_IMAGES] for start in range(0, len(self), TASK_IMAGES)]
            threads = worker_count()
            with closing(map_in_order(self._digests_in, tasks, workers=threads, ahead=4 * threads)) as digests:
                for task, digest in zip(tasks, digests, strict=True):
                    found += digest
                    if progress is not None:
                        progress(task.stop, len(self))
            self._digests = PackedDigests(np.frombuffer(found, np.uint8).reshape(-1, DIGEST_BYTES))
        return self._digests

    def digests_of(self, indices: NDArray[np.int64]) -> list[bytes | None]:
        known = self._digests
        found = [self._read_digest(int(i)) if known is None else known[int(i)] for i in indices]
        return [None if d == self._name_digest(int(i)) else d for i, d in zip(indices, found, strict=True)]

    def facts(self, index: int) -> ImageFacts:
        name = self.called(index)
        with closing(self.opened(index)) as file:  # once, for pixels and digest: a disk may be far away
            image = read_open_image(file, name)
            small = fit_image(image, ImageSize(SIDE, SIDE, 1), name=name)
            digest = digest_of(file) if self._digests is None else self._digests[index]
        return ImageFacts(image.height, image.width, image.mode, digest, small.tobytes())

    def _decoded(self, index: int, size: ImageSize, resize: ResizeRule) -> Images:
        name = self.called(index)
        with closing(self.opened(index)) as file:
            return fit_image(read_open_image(file, name), size, resize, name=name)

    def _digests_in(self, indices: range) -> bytes:
        # no content to hash: a name keeps the image in its place until `verify` reports it
        return b"".join(self._read_digest(index) or self._name_digest(index) for index in indices)

    def _read_digest(self, index: int) -> bytes | None:
        try:
            with closing(self.opened(index)) as file:
                return digest_of(file)
        except (DataError, OSError):
            return None

    def _name_digest(self, index: int) -> bytes:
        return content_digest(b"unreadable:" + self.identifiers[index].encode("utf-8", "surrogatepass"))

    @cached_property
    def _headers(self) -> tuple[ImageSize | None, int]:
        """Size common to all images or None, and channels; stops reading when neither can change any more."""
        sizes: set[tuple[int, int]] = set()
        channels = 1
        for index in range(len(self)):
            try:
                with closing(self.opened(index)) as file:
                    header = read_open_header(file, self.called(index))
            except DataError:
                continue  # reported by `verify`
            sizes.add((header.height, header.width))
            if header.mode not in GREY_MODES:
                channels = 3
            if len(sizes) > 1 and channels == 3:
                break
        size = ImageSize(*sizes.pop(), channels) if len(sizes) == 1 else None
        return size, channels


def digest_of(file: BinaryIO) -> bytes:
    """Return `content_digest` of an open file, read in blocks from its start."""
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    file.seek(0)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.digest()


def content_digest(data: bytes) -> bytes:
    """Return the 16 bytes by which equal files are known: BLAKE2b of all of `data`."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
