"""NumPy archives (.npz) with the arrays that Keras names x_train, y_train, x_test, y_test.

    x_train, y_train, x_test, y_test    and x_val, y_val (or x_validation, y_validation)
    x, y                                instead of the above: images without a split
    class_names                         optional: text, one for each label

Only the arrays that are needed are unpacked, each after its own header has told what it will take. Objects are refused:
nothing is unpickled.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from neocog.data.arrays import MAX_CLASSES, ArrayDataset, check_class_count, check_class_names
from neocog.data.dataset import Source
from neocog.data.room import cannot_read, check_room
from neocog.errors import DataError, FormatError
from neocog.nn import limits
from neocog.reading import expanded, open_file

_CLASSES_AN_IMAGE, _CLASSES_AT_LEAST = 10, 100  # labels beyond are no class numbers
_SUFFIXES = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}
_SHOWN = 10  # names of arrays in a message
_INDEX = 1 << 20  # bytes that a zip archive's index may have: thousands of arrays, where ten are usual
_END = struct.Struct("<4s4H2IH")  # of a zip archive's end record: signature, 4 counts, bytes and place of the index
_HEADER = 10_000  # bytes of an array's header, as NumPy limits it
_ENCRYPTED = 1  # bit of a member's flags


def read_npz(path: str | Path) -> Source:
    """Read an .npz archive of images and labels.

    Arguments:
        path: the file; images (N, H, W), (N, H, W, C) or (N, C, H, W), labels (N,) or (N, 1) integers.

    Returns:
        A Source with `train`, `validation` and `test` as far as they are there, or `unsplit`.

    Raises:
        FormatError: the file is damaged, truncated, of another kind, or holds objects.
        DataError: arrays are missing, do not fit together, or do not fit into memory.
    """
    path = expanded(path)
    try:
        file = open_file(path)
    except (OSError, ValueError) as error:  # ValueError: no file can have this name
        raise cannot_read(path, error) from error
    with file:
        try:
            return _read(path, file)
        except OSError as error:
            raise cannot_read(path, error) from error


def _read(path: Path, file: BinaryIO) -> Source:
    archive = _Archive(path, file)
    keys: dict[str, tuple[str, str]] = {}
    for part, suffixes in _SUFFIXES.items():
        for suffix in suffixes:
            if f"x_{suffix}" in archive.members or f"y_{suffix}" in archive.members:
                keys[part] = (f"x_{suffix}", f"y_{suffix}")
    if not keys and "x" in archive.members:
        keys["unsplit"] = ("x", "y")
    missing = sorted({key for pair in keys.values() for key in pair if key not in archive.members})
    if missing or not keys:
        needed = ", ".join(missing) or "x_train and y_train, or x and y"
        found = list(archive.members)
        more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        raise DataError(
            f"{path}: the archive needs {needed}, found {', '.join(found[:_SHOWN]) or 'nothing'}{more}",
            hint="np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)",
        )
    names = _given_names(archive) if "class_names" in archive.members else None
    arrays = archive.read([key for pair in keys.values() for key in pair])
    if names is None:
        names = _numbered(path, arrays, [y for _, y in keys.values()])
    parts = {}
    for part, (x, y) in keys.items():
        try:
            prefix = "images" if part == "unsplit" else part
            parts[part] = ArrayDataset(arrays.pop(x), arrays.pop(y), names, prefix=prefix)
        except DataError as error:
            raise DataError(f"{path}, {x} and {y}: {error.message}", details=error.details, hint=error.hint) from None
    return Source(
        path.stem,
        "NumPy archive",
        train=parts.get("train"),
        validation=parts.get("validation"),
        test=parts.get("test"),
        unsplit=parts.get("unsplit"),
    )


class _Archive:
    """The members of a zip archive that may be arrays, by name; nothing is unpacked before it is asked for."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.size = _check_index(path, file)
        try:
            self.zip = zipfile.ZipFile(file)
        except Exception as error:
            raise self.damaged(error) from error
        # NumPy takes members with and without the ending
        self.members = {info.filename.removesuffix(".npy"): info for info in self.zip.infolist()}

    def read(self, keys: list[str]) -> dict[str, NDArray[Any]]:
        """Read arrays, if memory can hold all of them together."""
        wanted, packed, images = 0, 0, 0
        for key in keys:
            shape, dtype = self.header(key)
            wanted += self.members[key].file_size
            packed += self.members[key].compress_size
            images += shape[0] if shape and key.startswith("x") else 0
            if dtype.kind == "f" and dtype.itemsize != 4:
                wanted += self.members[key].file_size * 4 // dtype.itemsize  # images become float32
        check_room(str(self.path), wanted, images, packed=packed)
        return {key: self.array(key) for key in keys}

    def header(self, key: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Read what an array's header says, and hold it against the size of its member."""
        info = self.members[key]
        if info.flag_bits & _ENCRYPTED:
            raise FormatError(f"{self.path}, {key}: the array is encrypted", hint="write it with np.savez")
        try:
            with self.zip.open(info) as member:
                shape, dtype = _npy_header(member)
                begins = member.tell()
        except NotImplementedError as error:
            raise FormatError(
                f"{self.path}, {key}: a kind of zip compression that is not supported: {error}",
                hint="write it with np.savez or np.savez_compressed",
            ) from error
        except _NotAnArrayError as error:
            raise FormatError(f"{self.path}, {key}: {error}", hint=error.hint) from None
        except Exception as error:
            raise self.damaged(error, key) from error
        needed = dtype.itemsize
        for extent in shape:
            needed *= extent
        if needed + begins != info.file_size:
            raise FormatError(
                f"{self.path}, {key}: {dtype} of shape {shape} needs {needed + begins:,} bytes, "
                f"found {info.file_size:,}",
                hint="write or copy it again",
            )
        return shape, dtype

    def array(self, key: str) -> NDArray[Any]:
        """Read one array, after its `header` was found right."""
        try:
            with self.zip.open(self.members[key]) as member:
                return npy.read_array(member, allow_pickle=False)
        except Exception as error:  # zipfile, zlib and numpy each have their own for damaged data
            raise self.damaged(error, key) from error

    def damaged(self, error: Exception, key: str | None = None) -> Exception:
        """Return what an error of zipfile, zlib or NumPy means."""
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            return error
        where = str(self.path) if key is None else f"{self.path}, {key}"
        return FormatError(
            f"{where}: the archive is damaged ({self.size:,} bytes)",
            details=(f"{type(error).__name__}: {error}",),
            hint="write or copy it again",
        )


class _NotAnArrayError(Exception):
    """A member of an archive is not what is read here."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def _npy_header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    start = member.read(len(npy.MAGIC_PREFIX))
    if start != npy.MAGIC_PREFIX:
        raise _NotAnArrayError(f"not a NumPy array: it begins with {start!r}", "write it with np.savez")
    version = tuple(member.read(2))
    if version not in ((1, 0), (2, 0)):
        raise _NotAnArrayError(f"an array in version {version} of NumPy's format, which images and labels do not need")
    length = member.read(2 if version == (1, 0) else 4)
    told = int.from_bytes(length, "little")
    if told > _HEADER:
        raise _NotAnArrayError(f"the header of an array may have {_HEADER:,} bytes, found {told:,}")
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, _, dtype = read(io.BytesIO(length + member.read(told)))
    if dtype.hasobject:
        raise _NotAnArrayError(
            "holds Python objects, only numbers and text are read",
            "stack images of one size into one array of numbers",
        )
    if dtype.kind == "V":
        raise _NotAnArrayError(f"holds records ({dtype}), only numbers and text are read", "save each field by itself")
    if any(extent < 0 for extent in shape):
        raise ValueError(f"a shape of {shape}")
    return shape, dtype


def _check_index(path: Path, file: BinaryIO) -> int:
    """Return the bytes of a zip archive, after a look at its end, where it says how large its index is."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(4)
    file.seek(max(0, size - _END.size - 0xFFFF))  # behind the record lies a comment
    end = file.read()
    place = end.rfind(b"PK\5\6")
    if place < 0 or len(end) - place < _END.size:
        raise FormatError(
            f"{path}: an .npz file is a zip archive with its index at the end; found {size:,} bytes that begin "
            f"with {start!r} and no index",
            hint="the file is truncated: copy it again" if start[:2] == b"PK" else "write it with np.savez",
        )
    index = _END.unpack_from(end, place)[5]
    if index > _INDEX:
        raise FormatError(
            f"{path}: the archive's index may have {_INDEX:,} bytes, found {index:,}",
            hint="write it with np.savez",
        )
    return size


def _given_names(archive: _Archive) -> list[str]:
    shape, dtype = archive.header("class_names")
    if len(shape) != 1 or dtype.kind != "U":
        raise DataError(f"{archive.path}: class_names needs text of shape (classes,), got {dtype} {shape}")
    length = dtype.itemsize // np.dtype("U1").itemsize
    if shape[0] > limits.MAX_CLASSES:
        raise DataError(
            f"{archive.path}, class_names: at most {limits.MAX_CLASSES:,} classes may have names, got {shape[0]:,}"
        )
    if length > limits.MAX_NAME:
        raise DataError(
            f"{archive.path}, class_names: a name may have {limits.MAX_NAME:,} characters at most, got {length:,}"
        )
    names = archive.read(["class_names"])["class_names"].tolist()
    try:
        check_class_names(names)
    except DataError as error:
        raise DataError(f"{archive.path}, class_names: {error.message}") from None
    return [str(name) for name in names]


def _numbered(path: Path, arrays: dict[str, NDArray[Any]], labels: list[str]) -> list[str] | None:
    # one count for all parts, so that a part without the last class still has as many names
    highest = [int(arrays[key].max()) for key in labels if arrays[key].size and arrays[key].dtype.kind in "iu"]
    if len(highest) != len(labels):
        return None
    images = sum(arrays[key].size for key in labels)
    try:
        check_class_count(max(highest) + 1, min(MAX_CLASSES, _CLASSES_AN_IMAGE * images + _CLASSES_AT_LEAST))
    except DataError as error:
        raise DataError(f"{path}, {' and '.join(labels)}: {error.message}", hint=error.hint) from None
    return [str(label) for label in range(max(highest) + 1)]
