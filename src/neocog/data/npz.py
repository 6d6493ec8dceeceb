"""NumPy archives (.npz) with the arrays that Keras names x_train, y_train, x_test, y_test.

    x_train, y_train, x_test, y_test    and x_val, y_val (or x_validation, y_validation)
    x, y                                instead of the above: images without a split
    class_names                         optional: text, one for each label

Archives are read with allow_pickle=False: object arrays are refused.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.data.arrays import MAX_CLASSES, ArrayDataset, check_class_count
from neocog.data.dataset import Source
from neocog.errors import DataError, FormatError

_CLASSES_AN_IMAGE, _CLASSES_AT_LEAST = 10, 100  # labels beyond are no class numbers
_SUFFIXES = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}


def read_npz(path: str | Path) -> Source:
    """Read an .npz archive of images and labels.

    Arguments:
        path: the file; images (N, H, W), (N, H, W, C) or (N, C, H, W), labels (N,) or (N, 1) integers.

    Returns:
        A Source with `train`, `validation` and `test` as far as they are there, or `unsplit`.

    Raises:
        FormatError: the file is damaged, truncated, of another kind, or holds objects.
        DataError: arrays are missing or do not fit together.
    """
    path = Path(path)
    arrays = _load(path)
    keys: dict[str, tuple[str, str]] = {}
    for part, suffixes in _SUFFIXES.items():
        for suffix in suffixes:
            if f"x_{suffix}" in arrays or f"y_{suffix}" in arrays:
                keys[part] = (f"x_{suffix}", f"y_{suffix}")
    if not keys and "x" in arrays:
        keys["unsplit"] = ("x", "y")
    missing = sorted({key for pair in keys.values() for key in pair if key not in arrays})
    if missing or not keys:
        needed = ", ".join(missing) or "x_train and y_train, or x and y"
        raise DataError(
            f"{path}: the archive needs {needed}, found {', '.join(arrays) or 'nothing'}",
            hint="np.savez(path, x_train=..., y_train=..., x_test=..., y_test=...)",
        )
    names = _class_names(path, arrays, [y for _, y in keys.values()])
    parts = {}
    for part, (x, y) in keys.items():
        try:
            prefix = "images" if part == "unsplit" else part
            parts[part] = ArrayDataset(arrays[x], arrays[y], names, prefix=prefix)
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


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        size = path.stat().st_size
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                start = file.read(4)
            raise FormatError(
                f"{path}: an .npz file is a zip archive with its index at the end; found {size:,} bytes that begin "
                f"with {start!r} and no index",
                hint="the file is truncated: copy it again" if start[:2] == b"PK" else "write it with np.savez",
            )
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except FormatError:
        raise
    except OSError as error:
        raise FormatError(f"{path}: the file cannot be read: {error.strerror or error}") from error
    except Exception as error:  # zipfile, zlib and numpy each have their own for damaged data
        objects = "allow_pickle" in str(error)
        raise FormatError(
            f"{path}: holds Python objects, only numbers and text are read"
            if objects
            else f"{path}: the archive is damaged ({size:,} bytes)",
            details=() if objects else (f"{type(error).__name__}: {error}",),
            hint="stack images of one size into one array of numbers" if objects else "write or copy it again",
        ) from error


def _class_names(path: Path, arrays: dict[str, NDArray[Any]], labels: list[str]) -> list[str] | None:
    if "class_names" in arrays:
        names = arrays["class_names"]
        if names.ndim != 1 or names.dtype.kind != "U":
            raise DataError(f"{path}: class_names needs text of shape (classes,), got {names.dtype} {names.shape}")
        return [str(name) for name in names]
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
