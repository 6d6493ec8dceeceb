"""A Parquet file of images: what its columns mean, and its row groups as encoded images; pyarrow does the reading.

    image    struct of bytes and path (or bytes alone); the first such column, whatever its name
    label    whole numbers or text; else class or target, else the one column that the features call a ClassLabel

The key "huggingface" of the schema's metadata holds the features, and with them the names of the classes. A file
is unpacked a little at a time, and refused once that is more than it may be.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neocog.data.classes import fault_of
from neocog.data.walk import listed
from neocog.errors import FormatError, NeocogError
from neocog.reading import cause_of, open_file

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 20_000_000
MOST_GROUP = 1 << 30  # bytes of images in a row group, unpacked
MOST_LABELS = 1 << 28  # bytes of a file's labels, unpacked

LABELS = ("label", "class", "target")
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
    label = next((name for name in LABELS if name in fields), classes[0] if len(classes) == 1 else None)
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


def row_counts(path: Path) -> list[int]:
    """Return the number of rows of each row group.

    Raises:
        FormatError: it cannot be read, or has more than `MOST_ROWS` rows.
    """
    with _Opened(path) as file:
        metadata = file.metadata
        counts = [int(metadata.row_group(number).num_rows) for number in range(metadata.num_row_groups)]
    if min(counts, default=0) < 0 or sum(counts) > MOST_ROWS:
        raise FormatError(f"{path}: more than {MOST_ROWS:,} rows")
    return counts


def label_column(path: Path, label: str, rows: int) -> list[NDArray[Any]]:
    """Return the labels of a file that should have so many rows, in parts.

    Raises:
        FormatError: it cannot be read, has other rows than these, or more than `MOST_LABELS` bytes of labels.
    """
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
