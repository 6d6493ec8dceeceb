"""IDX, the format of MNIST, Fashion-MNIST and Kuzushiji-MNIST: four files, each gzipped or not.

    {train,t10k}-images-idx3-ubyte[.gz]    magic 00 00 08 03, then images, rows, columns (big-endian uint32), bytes
    {train,t10k}-labels-idx1-ubyte[.gz]    magic 00 00 08 01, then labels (big-endian uint32), bytes

The spelling `train-images.idx3-ubyte`, and `test` for `t10k`, are accepted. The files do not name their classes: a
text file `class_names.txt` beside them, one name a line, does; without it they are called "0", "1", and so on.

Format: http://yann.lecun.com/exdb/mnist/
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from neocog.data.arrays import ArrayDataset, check_class_names
from neocog.data.dataset import Source
from neocog.data.room import cannot_read, check_room
from neocog.errors import DataError, FormatError
from neocog.nn import limits
from neocog.reading import open_file, read_text

_NAME = re.compile(r"(?P<part>train|t10k|test)-(?P<what>images|labels)[.-]idx[13]-ubyte(\.gz)?", re.IGNORECASE)
_PARTS = {"train": "train", "t10k": "test", "test": "test"}
_AXES = {"images": 3, "labels": 1}
_UINT8 = 0x08  # IDX's code for unsigned bytes
_NAMES = 1 << 20  # bytes that class_names.txt may hold
_DEFLATED_MOST = 1032  # bytes that one byte of gzip can unpack to
_BLOCK = 1 << 24  # bytes read at a time, so that a false header cannot ask for memory that its file does not fill


def is_idx_folder(folder: Path) -> bool:
    """Whether a folder holds a file of the MNIST family."""
    return any(_NAME.fullmatch(path.name) and not path.is_dir() for path in folder.iterdir())


def read_idx_folder(folder: str | Path) -> Source:
    """Read a folder of IDX files.

    Arguments:
        folder: with train and t10k files; one of the two parts is enough.

    Returns:
        A Source with `train` and `test`; images (N, rows, columns, 1) uint8.

    Raises:
        FormatError: a file is damaged, truncated or of another kind; the message gives the bytes needed and found.
        DataError: images without labels, or the same part twice.
    """
    folder = Path(folder)
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.iterdir()):
        match = _NAME.fullmatch(path.name)
        if match is None or path.is_dir():  # archives of MNIST hold a folder called like the file in it
            continue
        key = (_PARTS[match["part"].lower()], match["what"].lower())
        if key in found:
            # the same file packed and unpacked is usual after `gunzip -k`
            if path.name == found[key].name + ".gz":
                continue
            raise DataError(f"{folder}: both {found[key].name} and {path.name} are there", hint="remove one")
        found[key] = path
    arrays: dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]] = {}
    for part in ("train", "test"):
        images, labels = found.get((part, "images")), found.get((part, "labels"))
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            have, what = (images, "labels") if labels is None else (labels, "images")
            raise DataError(f"{folder}: {cast(Path, have).name} has no {what} file beside it")
        arrays[part] = read_idx(images, 3), read_idx(labels, 1)
        if len(arrays[part][0]) != len(arrays[part][1]):
            raise FormatError(
                f"{images.name} and {labels.name} need as many images as labels, "
                f"got {len(arrays[part][0]):,} images and {len(arrays[part][1]):,} labels"
            )
        if not arrays[part][0].size:
            raise FormatError(f"{images}: holds no images")
    if not arrays:
        raise DataError(f"{folder}: no IDX files, such as train-images-idx3-ubyte.gz")
    classes = max(int(labels.max()) for _, labels in arrays.values()) + 1
    names = _class_names(folder, classes)
    parts = {part: ArrayDataset(x, y, names, prefix=part) for part, (x, y) in arrays.items()}
    return Source(folder.resolve().name, "IDX (MNIST family)", train=parts.get("train"), test=parts.get("test"))


def read_idx(path: str | Path, axes: int) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, gzipped if its first bytes say so.

    Arguments:
        path: the file.
        axes: 3 for images (N, rows, columns), 1 for labels (N,).

    Raises:
        FormatError: another magic number, or more or fewer bytes than the header says.
    """
    path = Path(path)
    try:
        file = open_file(path)
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error
    with file:
        try:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                return _read(path, file, axes)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read(path, cast(BinaryIO, unpacked), axes, size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FormatError(
                f"{path}: the gzip data is damaged or truncated ({size:,} bytes)",
                details=(str(error),),
                hint="download the file again",
            ) from error
        except OSError as error:
            raise cannot_read(path, error) from error


def _read(path: Path, file: BinaryIO, axes: int, packed: int | None = None) -> NDArray[np.uint8]:
    length = 4 + 4 * axes
    header = file.read(length)
    magic = bytes([0, 0, _UINT8, axes])
    if header[:4] != magic[: len(header)] or not header:
        raise FormatError(
            f"{path}: an IDX file of {axes} axes begins with the bytes {magic.hex(' ')}, "
            f"got {header[:4].hex(' ') or 'an empty file'}"
        )
    if len(header) < length:
        raise FormatError(f"{path}: the IDX header needs {length} bytes, the file ends after {len(header)}")
    shape = struct.unpack(f">{axes}I", header[4:])
    needed = math.prod(shape)
    if packed is None:
        found = file.seek(0, os.SEEK_END)
        file.seek(length)
        if found < length + needed:
            raise _wrong_length(path, shape, f"{found:,}")
    elif length + needed > _DEFLATED_MOST * packed:
        raise _wrong_length(path, shape, f"at most {_DEFLATED_MOST * packed:,} in {packed:,} bytes of gzip")
    check_room(str(path), needed, shape[0], packed=packed)
    data = bytearray()
    while len(data) <= needed:  # one byte too many tells of a file that is too long
        block = file.read(min(_BLOCK, needed + 1 - len(data)))
        if not block:
            break
        data += block
    if len(data) != needed:
        raise _wrong_length(path, shape, "more" if len(data) > needed else f"{length + len(data):,}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def _wrong_length(path: Path, shape: tuple[int, ...], found: str) -> FormatError:
    needed = 4 + 4 * len(shape) + math.prod(shape)
    return FormatError(
        f"{path}: {' x '.join(map(str, shape))} values need {needed:,} bytes, found {found}",
        hint=None if found == "more" else "the file is truncated: download it again",
    )


def _class_names(folder: Path, classes: int) -> list[str]:
    path = folder / "class_names.txt"
    if not os.path.lexists(path):
        return [str(label) for label in range(classes)]
    try:
        names = [line.strip() for line in read_text(path, _NAMES).splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not UTF-8 text: {error}") from error
    except OSError as error:
        raise cannot_read(path, error) from error
    if len(names) < classes:
        raise FormatError(f"{path}: {classes} classes need as many lines, found {len(names)}")
    if len(names) > limits.MAX_CLASSES:
        raise FormatError(f"{path}: at most {limits.MAX_CLASSES:,} classes may have names, found {len(names):,}")
    try:
        check_class_names(names)
    except DataError as error:
        raise FormatError(f"{path}: {error.message}") from None
    return names
