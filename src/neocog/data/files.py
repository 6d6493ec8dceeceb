"""Labelled images in files, decoded when asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from neocog.data.arrays import check_labels
from neocog.data.cache import ImageCache
from neocog.data.channels import GREY_MODES
from neocog.data.dataset import Dataset, ImageFacts, ReadProgress
from neocog.data.decode import MAX_BYTES, decode_image, fit_image, read_header, read_open_image, unreadable_file
from neocog.data.near import SIDE
from neocog.data.parallel import map_in_order, worker_count
from neocog.data.resize import DEFAULT_RESIZE, Images, ImageSize, ResizeRule
from neocog.errors import DataError
from neocog.reading import open_file
from neocog.resources import cache_folder

_DIGEST = 16  # bytes
_BLOCK = 1 << 20  # bytes hashed at a time


Sample = tuple[str, int] | tuple[str, tuple[int, ...]]
"""The path of an image, and its label; or all that it has, where an image may have several."""


class FileDataset(Dataset):
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
        self.class_names = tuple(class_names)
        self.identifiers = [path for path, _ in self.samples]
        single = [label for _, label in self.samples if not isinstance(label, tuple)]
        if single:
            self.labels = check_labels(np.array(single), len(self.samples), class_names)
        else:
            self.labels = np.zeros((len(self.samples), len(self.class_names)), np.int64)
            for row, (_, labels) in zip(self.labels, self.samples, strict=True):
                row[np.array(labels, np.int64)] = 1
        cache = cache_folder()
        self._cache = ImageCache(len(self.samples), memory_budget, None if cache is None else cache / "images")
        self._digests: list[bytes] | None = None

    def path(self, index: int) -> Path:
        """Return where an image lies."""
        return self.root / self.samples[index][0]

    @property
    def native_size(self) -> ImageSize | None:
        return self._headers[0]

    @property
    def channels(self) -> int:
        return self._headers[1]

    @property
    def unreadable(self) -> Mapping[int, str]:
        # in the order of the files, not in that of their discovery by threads, which may still add to the original
        return dict(sorted(dict(self._cache.unreadable).items()))

    def read(
        self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE
    ) -> tuple[Images, NDArray[np.bool_]]:
        return self._cache.read(
            np.asarray(indices, np.int64), size, resize, np.uint8, lambda i: decode_image(self.path(i), size, resize)
        )

    def resident(self, indices: NDArray[np.int64], size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE) -> bool:
        return self._cache.holds(indices, size, resize)

    def digests(self, progress: ReadProgress | None = None) -> list[bytes]:
        if self._digests is None:
            threads = worker_count()
            found: list[bytes] = []
            with closing(map_in_order(self._digest, range(len(self)), workers=threads, ahead=64)) as digests:
                for digest in digests:
                    found.append(digest)
                    if progress is not None:
                        progress(len(found), len(self))
            self._digests = found
        return self._digests

    def digests_of(self, indices: NDArray[np.int64]) -> list[bytes | None]:
        known = self._digests
        found = [self._read_digest(int(i)) if known is None else known[i] for i in indices]
        return [None if d == self._name_digest(int(i)) else d for i, d in zip(indices, found, strict=True)]

    def facts(self, index: int) -> ImageFacts:
        name = str(self.path(index))
        try:
            with open_file(name) as file:  # once, for pixels and digest: a disk may be far away
                image = read_open_image(file, name)
                small = fit_image(image, ImageSize(SIDE, SIDE, 1), name=name)
                digest = _digest_of(file) if self._digests is None else self._digests[index]
        except DataError:
            raise
        except (OSError, ValueError) as error:
            raise unreadable_file(name, error) from error
        return ImageFacts(image.height, image.width, image.mode, digest, small.tobytes())

    def fits(self, size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE) -> bool:
        return self._cache.fits(size, resize, np.uint8)

    def _digest(self, index: int) -> bytes:
        # no content to hash: a name keeps the image in its place until `verify` reports it
        return self._read_digest(index) or self._name_digest(index)

    def _read_digest(self, index: int) -> bytes | None:
        try:
            return file_digest(self.path(index))
        except (OSError, ValueError):  # ValueError: no file can have this name
            return None

    def _name_digest(self, index: int) -> bytes:
        return content_digest(b"unreadable:" + self.identifiers[index].encode("utf-8", "surrogatepass"))

    @cached_property
    def _headers(self) -> tuple[ImageSize | None, int]:
        """Size common to all files or None, and channels; stops reading when neither can change any more."""
        sizes: set[tuple[int, int]] = set()
        channels = 1
        for index in range(len(self)):
            try:
                header = read_header(self.path(index))
            except DataError:
                continue  # reported by `verify`
            sizes.add((header.height, header.width))
            if header.mode not in GREY_MODES:
                channels = 3
            if len(sizes) > 1 and channels == 3:
                break
        size = ImageSize(*sizes.pop(), channels) if len(sizes) == 1 else None
        return size, channels


def file_digest(path: Path) -> bytes:
    """Return `content_digest` of a file, read in blocks.

    Raises:
        OSError, ValueError: it cannot be read, or holds more than an image file may.
    """
    with open_file(path, MAX_BYTES) as file:
        return _digest_of(file)


def _digest_of(file: BinaryIO) -> bytes:
    digest = hashlib.blake2b(digest_size=_DIGEST)
    file.seek(0)
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.digest()


def content_digest(data: bytes) -> bytes:
    """Return the 16 bytes by which equal files are known: BLAKE2b of all of `data`."""
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()
