"""CIFAR-10: 32 x 32 RGB, 10 classes, in its binary or its "Python" edition.

    binary   data_batch_1.bin ... data_batch_5.bin, test_batch*.bin, batches.meta.txt
             rows of 1 label byte and 3,072 pixel bytes: planes red, green, blue, each 32 rows of 32
    Python   data_batch_1 ... data_batch_5, test_batch, batches.meta: pickles, read by inert_pickle.py, which
             computes values and can run nothing

Where both are there, the binary files are read. Source: Alex Krizhevsky, Learning Multiple Layers of Features from
Tiny Images, 2009; https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.data.arrays import ArrayDataset, check_class_names
from neocog.data.dataset import Source
from neocog.data.inert_pickle import PickledArray, load_inert
from neocog.data.room import cannot_read, check_room
from neocog.errors import DataError, FormatError
from neocog.reading import open_file, read_file

_NAME = re.compile(r"(?P<part>data|test)_batch(?P<rest>[_0-9A-Za-z]*)(?P<binary>\.bin)?")
_SIDE, _CHANNELS, _CLASSES = 32, 3, 10
_PIXELS = _CHANNELS * _SIDE * _SIDE  # bytes of one image
_ROW = 1 + _PIXELS  # label and image
_COPIES = 3  # of all pixels that are in memory at once: files, one array, and that by channels
_PICKLE = 1 << 28  # bytes of a pickled batch; all of CIFAR-10 in one would have 184 million
_META = 1 << 20  # bytes of the files that name classes
_BEYOND = 1 << 63  # numbers that NumPy's integers do not hold

_Rows = tuple[NDArray[np.uint8], NDArray[np.int64]]  # (n, 3072) planes and (n,) labels


def is_cifar_folder(folder: Path) -> bool:
    """Whether a folder holds CIFAR-10 batches."""
    return bool(_batch_files(folder, binary=True) or _batch_files(folder, binary=False))


def read_cifar_folder(folder: str | Path) -> Source:
    """Read a folder of CIFAR-10 batches.

    Arguments:
        folder: with batches of the binary or the Python edition.

    Returns:
        A Source with `train` and `test` as far as they are there; images (N, 32, 32, 3) uint8.

    Raises:
        FormatError: a file is damaged, truncated or of another kind; the message gives the bytes needed and found.
    """
    folder = Path(folder)
    binary = bool(_batch_files(folder, binary=True))
    files = _batch_files(folder, binary=binary)
    names = _binary_names(folder) if binary else _python_names(folder)
    read: Callable[[Path], _Rows] = _read_binary if binary else _read_python
    needed = sum(path.stat().st_size for path in files if path.is_file())
    check_room(str(folder), _COPIES * needed, needed // _ROW)
    parts = {}
    for part, prefix in (("train", "data"), ("test", "test")):
        paths = [path for path in files if path.name.startswith(prefix)]
        if paths:
            rows = [read(path) for path in paths]
            planes = np.concatenate([pixels for pixels, _ in rows]).reshape(-1, _CHANNELS, _SIDE, _SIDE)
            labels = np.concatenate([labels for _, labels in rows])
            parts[part] = ArrayDataset(planes, labels, names, layout="NCHW", prefix=part)
    if not parts:
        raise FormatError(f"{folder}: no CIFAR-10 batches, such as data_batch_1.bin")
    kind = f"CIFAR-10 ({'binary' if binary else 'Python'} batches)"
    return Source(folder.resolve().name, kind, train=parts.get("train"), test=parts.get("test"))


def _batch_files(folder: Path, *, binary: bool) -> list[Path]:
    found = []
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match is not None and bool(match["binary"]) == binary and not path.is_dir():
            number = re.search(r"\d+", match["rest"])
            found.append((int(number.group()) if number else 0, path.name, path))
    return [path for _, _, path in sorted(found)]


def _read_binary(path: Path) -> _Rows:
    try:
        with open_file(path) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            data = b"" if size % _ROW else file.read(size)
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error
    if not data or len(data) != size:
        raise FormatError(
            f"{path}: CIFAR-10 batches are rows of {_ROW:,} bytes (1 label, 3 x 32 x 32 pixels), "
            f"found {size:,} bytes = {size // _ROW:,} rows and {size % _ROW:,} bytes",
            hint="the file is truncated, or is CIFAR-100, which is not read",
        )
    rows = np.frombuffer(data, np.uint8).reshape(-1, _ROW)
    return rows[:, 1:], _check_labels(path, rows[:, 0].astype(np.int64))


def _read_python(path: Path) -> _Rows:
    value = _text_keys(load_inert(_bytes(path, _PICKLE), str(path)))
    if "data" not in value or "labels" not in value:
        raise FormatError(f"{path}: a CIFAR-10 batch is a dictionary with data and labels, found another value")
    data, labels = value["data"], value["labels"]
    if not isinstance(data, PickledArray) or data.dtype != "u1" or data.fortran or len(data.shape) != 2:
        raise FormatError(f"{path}: the data of a CIFAR-10 batch are (n, {_PIXELS:,}) bytes, found another value")
    if not isinstance(labels, list) or not all(type(label) is int for label in labels):
        raise FormatError(f"{path}: the labels of a CIFAR-10 batch are a list of integers")
    if not all(-_BEYOND < label < _BEYOND for label in labels):
        raise FormatError(f"{path}: labels must be in 0..{_CLASSES - 1}, got one of more than 64 bits")
    count = len(labels)
    if data.shape != (count, _PIXELS) or len(data.data) != count * _PIXELS or not count:
        raise FormatError(
            f"{path}: {count:,} labels need ({count:,}, {_PIXELS:,}) pixels = {count * _PIXELS:,} bytes, "
            f"found {_shown(data.shape)} and {len(data.data):,} bytes"
        )
    pixels = np.frombuffer(data.data, np.uint8).reshape(count, _PIXELS)
    return pixels, _check_labels(path, np.array(labels, np.int64))


def _shown(shape: tuple[int, ...]) -> str:
    fits = len(shape) == 2 and all(-_BEYOND < extent < _BEYOND for extent in shape)
    return str(shape) if fits else "an impossible shape"


def _check_labels(path: Path, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    wrong = np.flatnonzero((labels < 0) | (labels >= _CLASSES))
    if len(wrong):
        raise FormatError(f"{path}: labels must be in 0..{_CLASSES - 1}, got {labels[wrong[0]]} in row {wrong[0]}")
    return labels


def _binary_names(folder: Path) -> list[str]:
    path = folder / "batches.meta.txt"
    if not os.path.lexists(path):
        return [str(label) for label in range(_CLASSES)]
    names = [line.strip() for line in _bytes(path, _META).decode("utf-8", "replace").splitlines() if line.strip()]
    if len(names) != _CLASSES:
        raise FormatError(f"{path}: {_CLASSES} class names were needed, one a line, found {len(names)}")
    return _differing(path, names)


def _python_names(folder: Path) -> list[str]:
    path = folder / "batches.meta"
    if not os.path.lexists(path):
        return [str(label) for label in range(_CLASSES)]
    names = _text_keys(load_inert(_bytes(path, _META), str(path))).get("label_names")
    if not isinstance(names, list) or len(names) != _CLASSES or not all(isinstance(n, str | bytes) for n in names):
        raise FormatError(f"{path}: label_names needs to be a list of {_CLASSES} names")
    return _differing(path, [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names])


def _differing(path: Path, names: list[str]) -> list[str]:
    try:
        check_class_names(names)
    except DataError as error:
        raise FormatError(f"{path}: {error.message}") from None
    return names


def _text_keys(value: object) -> dict[str, Any]:
    """Return a dictionary with text for keys: b"data", as Python 3 writes it for Python 2, is "data"."""
    if not isinstance(value, dict):
        return {}
    return {key.decode("latin-1") if isinstance(key, bytes) else key: item for key, item in value.items()}


def _bytes(path: Path, most: int) -> bytes:
    try:
        return read_file(path, most)
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from error
