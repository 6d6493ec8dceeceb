"""Images in Parquet files, as Hugging Face's datasets writes them: a column of structs of bytes and path, and labels.

    image    struct of bytes and path (or bytes alone); the first such column, whatever its name
    label    whole numbers or text; else class or target, else the one column that the features call a ClassLabel

The key "huggingface" of the schema's metadata holds the features, and with them the names of the classes. A file is
read in row groups, of which the last few are kept; so one pass in order costs little, and random access is left to the
shelf of decoded images (shelf.py). pyarrow does the reading; it is the extra `parquet`.
"""

from __future__ import annotations

import io
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neocog.data.classes import fault_of, in_order
from neocog.data.compact import PackedNames
from neocog.data.dataset import ReadProgress, Source
from neocog.data.encoded import EncodedDataset
from neocog.data.shards import PARQUET, find_shards, root_of, steps
from neocog.data.tar import name_of_source, state_of
from neocog.data.walk import listed
from neocog.errors import DataError, FormatError, NeocogError
from neocog.forks import tell_of_forks
from neocog.nn import limits
from neocog.reading import cause_of, open_file

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "Parquet (Hugging Face)"
MOST_ROWS = 20_000_000
MOST_GROUP = 1 << 30  # bytes of images in a row group, unpacked
MOST_LABELS = 1 << 28  # bytes of a file's labels, unpacked
KEPT = 1 << 28  # bytes of row groups that are kept, beside the one in use

_LABELS = ("label", "class", "target")
_IMAGES = ("image", "img")
_BATCH = 16  # rows unpacked at a time, until their bytes are known
_NUMBERS, _TEXTS = 1 << 16, 256  # likewise, of labels


class ImageColumns(NamedTuple):
    """What the columns of a file mean.

    Arguments:
        image: the name of that with images; `nested`: whether it holds structs.
        label: the name of that with labels; None: there is none.
        names: of classes, in order, where the features say them.
    """

    image: str
    nested: bool
    label: str | None
    names: tuple[str, ...] | None


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
            counts = _row_counts(path)
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


class EncodedImages:
    """The encoded images of a row group.

    Arguments:
        chunks: arrays of bytes, of some rows each.
    """

    def __init__(self, chunks: list[pa.Array]) -> None:
        self._chunks = chunks
        self._ends = np.cumsum([len(chunk) for chunk in chunks])
        self.size = sum(chunk.nbytes for chunk in chunks)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def content(self, row: int) -> bytes | None:
        """Return the bytes of an image; None where it has none."""
        place = int(np.searchsorted(self._ends, row, side="right"))
        content: bytes | None = self._chunks[place][row - int(self._ends[place])].as_py()  # counted from its end
        return content


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
    for number in range(len(_row_counts(path))):
        images = read_group(path, columns, number)
        for place in range(len(images)):
            yield f"{path}/{row}", images.content(place)
            row += 1


def columns_of(path: Path) -> ImageColumns:
    """Return what the columns of a file mean.

    Raises:
        FormatError: it cannot be read, or has no column of images.
    """
    with _Opened(path) as file:
        schema = file.schema_arrow
        fields = {field.name: field.type for field in schema}
        features = _features(schema.metadata)
    nested = [name for name, kind in fields.items() if _is_nested(kind)]
    plain = [name for name, kind in fields.items() if _is_bytes(kind)]
    candidates = nested or plain
    image = next((name for name in _IMAGES if name in candidates), next(iter(candidates), None))
    if image is None or "." in image:
        raise FormatError(
            f"{path}: needs a column of images, structs of bytes and path, found {listed(map(repr, fields), 8)}",
            hint="datasets.Dataset.to_parquet writes one for a column of datasets.Image",
        )
    classes = [name for name in fields if _names_of(features.get(name)) is not None]
    label = next((name for name in _LABELS if name in fields), classes[0] if len(classes) == 1 else None)
    names = _names_of(features.get(label)) if label is not None else None
    for name in names or ():
        if (fault := fault_of(name)) is not None:
            raise FormatError(f"{path}: the name of a class {fault}")
    if names is not None and len(set(names)) != len(names):
        raise FormatError(f"{path}: two classes have the same name")
    return ImageColumns(image, bool(nested), label, names)


def read_group(path: Path, columns: ImageColumns, number: int) -> EncodedImages:
    """Read the encoded images of one row group.

    Raises:
        FormatError: it cannot be read, has fewer rows than it says, or unpacks to more than `MOST_GROUP` bytes.
    """
    import pyarrow.compute as pc

    wanted = f"{columns.image}.bytes" if columns.nested else columns.image
    chunks, size = [], 0
    with _Opened(path) as file:
        for batch in file.iter_batches(_BATCH, row_groups=[number], columns=[wanted], use_threads=False):
            column = batch.column(0)
            column = pc.struct_field(column, "bytes") if columns.nested else column
            size += column.nbytes
            if size > MOST_GROUP:
                raise FormatError(
                    f"{path}: row group {number} has more than {MOST_GROUP:,} bytes of images",
                    hint="write it with smaller ones: row_group_size=1000",
                )
            chunks.append(column)
        _check_rows(path, sum(map(len, chunks)), file.metadata.row_group(number).num_rows)
    return EncodedImages(chunks)


class _Opened:
    """A Parquet file that is open; what pyarrow says of damage becomes a FormatError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Any:
        try:
            import pyarrow.parquet as pq
        except ImportError as error:
            raise NeocogError("Parquet files need pyarrow", hint="pip install 'neocog[parquet]'") from error
        try:
            self._file = open_file(self._path)
        except OSError as error:
            raise FormatError(f"{self._path}: the file cannot be read: {cause_of(error)}") from error
        try:
            return pq.ParquetFile(self._file)
        except BaseException as error:
            self._file.close()
            raise self._told(error) from error

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._file.close()
        if error is not None and self._told(error) is not error:
            raise self._told(error) from error

    def _told(self, error: BaseException) -> BaseException:
        import pyarrow as pa

        if isinstance(error, FormatError | MemoryError):
            return error
        if not isinstance(error, pa.ArrowException | OSError | UnicodeDecodeError):
            return error
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        return FormatError(
            f"{self._path}: the Parquet file is damaged or truncated ({self._path.stat().st_size:,} bytes)",
            details=(text,),
            hint="copy it again from its source",
        )


def _row_counts(path: Path) -> list[int]:
    """Return the number of rows of each row group."""
    with _Opened(path) as file:
        metadata = file.metadata
        counts = [int(metadata.row_group(number).num_rows) for number in range(metadata.num_row_groups)]
    if min(counts, default=0) < 0 or sum(counts) > MOST_ROWS:
        raise FormatError(f"{path}: more than {MOST_ROWS:,} rows")
    return counts


def _labels(paths: list[Path], told: Callable[[], None]) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    """Return the labels of all rows of some files, and the names that their features give them."""
    values: list[NDArray[Any]] = []
    names: tuple[str, ...] | None = None
    for number, path in enumerate(paths):
        columns = columns_of(path)
        if columns.label is None:
            raise FormatError(f"{path}: needs a column of labels: {', '.join(_LABELS)}")
        if number and names != columns.names:
            raise FormatError(f"{path}: its classes are not those of {paths[0].name}")
        names = columns.names
        values += _label_column(path, columns.label, sum(_row_counts(path)))
        told()
    return np.concatenate(values or [np.empty(0, np.int64)]), names


def _label_column(path: Path, label: str, rows: int) -> list[NDArray[Any]]:
    """Return the labels of a file that should have so many rows, in parts."""
    import pyarrow as pa

    values, size = [], 0
    with _Opened(path) as file:
        kind = file.schema_arrow.field(label).type
        # Text is unpacked a little at a time: a dictionary may hold one long text for all rows.
        each = _NUMBERS if pa.types.is_primitive(kind) else _TEXTS
        for batch in file.iter_batches(each, columns=[label], use_threads=False):
            size += batch.nbytes
            if size > MOST_LABELS:
                raise FormatError(f"{path}: the column {label!r} has more than {MOST_LABELS:,} bytes of labels")
            values.append(batch.column(0).to_numpy(zero_copy_only=False))
        _check_rows(path, sum(map(len, values)), rows)
    return values


def _check_rows(path: Path, found: int, told: int) -> None:
    if found != told:
        raise FormatError(f"{path}: the Parquet file is damaged: {told:,} rows were expected, found {found:,}")


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


def _features(metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    try:
        features = json.loads((metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):  # nothing depends on it but the names of classes
        return {}
    return features if isinstance(features, dict) else {}


def _names_of(feature: object) -> tuple[str, ...] | None:
    names = feature.get("names") if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else None
    return tuple(map(str, names)) if isinstance(names, list) and names else None


def _is_nested(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return pa.types.is_struct(kind) and any(f.name == "bytes" and _is_bytes(f.type) for f in kind)


def _is_bytes(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))
