"""Labelled images in Parquet files, as Hugging Face's datasets writes them (parquet_file.py says which columns count).

A file is read in row groups, of which the last few are kept; so one pass in order costs little, and random access is
left to the shelf of decoded images (shelf.py). pyarrow does the reading; it is the extra `parquet`.
"""

from __future__ import annotations

import io
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neocog.data.classes import fault_of, in_order
from neocog.data.compact import PackedNames
from neocog.data.dataset import ReadProgress, Source
from neocog.data.encoded import EncodedDataset
from neocog.data.parquet_file import (
    LABELS,
    EncodedImages,
    columns_of,
    label_column,
    read_group,
    row_counts,
)
from neocog.data.shards import PARQUET, find_shards, root_of, steps
from neocog.data.tar import name_of_source, state_of
from neocog.errors import DataError, FormatError
from neocog.forks import tell_of_forks
from neocog.nn import limits

KIND = "Parquet (Hugging Face)"
KEPT = 1 << 28  # bytes of row groups that are kept, beside the one in use


class RowGroup(NamedTuple):
    """A row group: of which file, its number there, and the place of its first row among all images."""

    shard: int
    number: int
    start: int


class ParquetDataset(EncodedDataset):
    """Labelled images in a column of Parquet files.

    Arguments:
        root: the folder that names of files are relative to.
        shards: the files.
        labels: (N,).
        class_names: the name of each label.
        memory_budget: as EncodedDataset takes it.
    """

    def __init__(
        self,
        root: Path,
        shards: list[Path],
        labels: NDArray[np.int64],
        class_names: list[str],
        *,
        memory_budget: int | None = None,
    ) -> None:
        self.root, self.shards = root, shards
        self._columns = [columns_of(path) for path in shards]
        self._states = [state_of(path) for path in shards]
        self._groups: list[RowGroup] = []
        rows = 0
        names: list[tuple[str, int]] = []
        for shard, path in enumerate(shards):
            counts = row_counts(path)
            for number, count in enumerate(counts):
                self._groups.append(RowGroup(shard, number, rows))
                rows += count
            names.append((path.relative_to(root).as_posix(), sum(counts)))
        self._starts = np.array([group.start for group in self._groups], np.int64)
        self._kept: OrderedDict[int, EncodedImages | str] = OrderedDict()
        self._lock = threading.Lock()
        tell_of_forks(self)
        identifiers = PackedNames.of(f"{name}/{row}" for name, count in names for row in range(count))
        super().__init__(identifiers, labels, class_names, memory_budget=memory_budget)

    def after_fork(self) -> None:
        """Open the lock, which a thread of the parent may have held."""
        self._lock = threading.Lock()

    def called(self, index: int) -> str:
        return os.path.join(self.root, self.identifiers[index])  # noqa: PTH118 - it is no path of a file

    def opened(self, index: int) -> BinaryIO:
        place = int(np.searchsorted(self._starts, index, side="right")) - 1
        images = self._images_of(place)
        if isinstance(images, str):
            raise DataError(f"{self.called(index)}: {images}")
        content = images.content(index - self._groups[place].start)
        if content is None:
            raise DataError(f"{self.called(index)}: there are no bytes of the image, only a path")
        return io.BytesIO(content)

    def _images_of(self, place: int) -> EncodedImages | str:
        """Return the images of a row group, or why they cannot be read."""
        with self._lock:
            found = self._kept.pop(place, None)
            if found is None:
                group = self._groups[place]
                path = self.shards[group.shard]
                try:
                    if state_of(path) != self._states[group.shard]:
                        raise FormatError(f"{path}: the file was changed meanwhile")
                    found = read_group(path, self._columns[group.shard], group.number)
                except FormatError as error:
                    found = error.message.removeprefix(f"{path}: ")
            self._kept[place] = found
            room = sum(images.size for images in self._kept.values() if not isinstance(images, str))
            while room > KEPT and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                room -= 0 if isinstance(oldest, str) else oldest.size
            return found


def read_parquets(location: str | Path, progress: ReadProgress | None = None) -> Source:
    """Read the Parquet files that a file, a pattern or a folder stands for (shards.py).

    Arguments:
        progress: called with (done, total) files.

    Raises:
        FormatError: a file cannot be read or is damaged, or has no column of images or labels.
        DataError: a file is missing, or there are no images.
        NeocogError: pyarrow is not installed.
    """
    shards = find_shards(location, PARQUET)
    root = root_of(shards)
    told = steps(progress, sum(map(len, shards.values())))
    found = {part: _labels(paths, told) for part, paths in shards.items()}
    notes = []
    for part in [part for part, (values, _) in found.items() if len(found) > 1 and not _has_labels(values)]:
        del found[part]
        notes.append(f"{part} ignored: its images have no labels")
    images = sum(len(values) for values, _ in found.values())
    if not images:
        raise DataError(f"{location}: no images in {sum(map(len, shards.values())):,} Parquet files")
    given = {names for _, names in found.values()}
    if len(given) > 1:
        raise DataError(f"{location}: parts have different classes", hint="pass one of their files alone")
    names, numbers = _numbered(location, {part: values for part, (values, _) in found.items()}, given.pop())
    parts = {part: ParquetDataset(root, shards[part], labels, names) for part, labels in numbers.items()}
    return Source(
        name_of_source(location),
        KIND,
        train=parts.get("train"),
        validation=parts.get("validation"),
        test=parts.get("test"),
        unsplit=parts.get("unsplit"),
        notes=tuple(notes),
    )


def images_in(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Yield a name and the bytes of each image of a file, which are None where there are none.

    Raises:
        FormatError: it cannot be read, or has no column of images.
    """
    columns = columns_of(path)
    row = 0
    for number in range(len(row_counts(path))):
        images = read_group(path, columns, number)
        for place in range(len(images)):
            yield f"{path}/{row}", images.content(place)
            row += 1


def _labels(paths: list[Path], told: Callable[[], None]) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return the labels of all rows of some files, and the names that their features give them."""
    values: list[NDArray[Any]] = []
    names: tuple[str, ...] | None = None
    for number, path in enumerate(paths):
        columns = columns_of(path)
        if columns.label is None:
            raise FormatError(f"{path}: needs a column of labels: {', '.join(LABELS)}")
        if number and names != columns.names:
            raise FormatError(f"{path}: its classes are not those of {paths[0].name}")
        names = columns.names
        values += label_column(path, columns.label, sum(row_counts(path)))
        told()
    return np.concatenate(values or [np.empty(0, np.int64)]), names


def _has_labels(values: NDArray[Any]) -> bool:
    return values.dtype.kind not in "iu" or bool((values >= 0).any())


def _numbered(
    location: str | Path, values: dict[str, Any], given: tuple[str, ...] | None
) -> tuple[list[str], dict[str, NDArray[np.int64]]]:
    """Return the names of classes, and the labels of each part as numbers of these."""
    every = np.concatenate(list(values.values()))
    if every.dtype.kind not in "iuO" or (every.dtype.kind == "O" and not all(isinstance(v, str) for v in every)):
        raise FormatError(f"{location}: labels need whole numbers or text, and none may be missing")
    if every.dtype.kind in "iu" and (every.min() < 0 or (given is not None and every.max() >= len(given))):
        allowed = "0 and up" if given is None else f"0..{len(given) - 1}"
        raise DataError(f"{location}: labels must be in {allowed}, got {every.min()}..{every.max()}")
    if given is not None and every.dtype.kind in "iu":
        return list(given), {part: np.asarray(found, np.int64) for part, found in values.items()}
    distinct = np.unique(every)
    if len(distinct) > limits.MAX_CLASSES:
        raise DataError(f"{location}: at most {limits.MAX_CLASSES:,} classes may have names, got {len(distinct):,}")
    for value in distinct:
        if (fault := fault_of(str(value))) is not None:
            raise FormatError(f"{location}: a label {fault}")
    names = in_order(map(str, distinct))
    place = np.array([names.index(str(value)) for value in distinct], np.int64)
    return names, {part: place[np.searchsorted(distinct, found)] for part, found in values.items()}
