"""Tensors of an ONNX file as arrays, checked before any memory is taken for them."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.errors import FormatError
from neocog.model.json_values import shown_value
from neocog.nn.limits import MAX_PARAMETERS
from neocog.reading import cause_of, open_file

AnyArray = NDArray[Any]

MAX_RANK = 8

_EXTERNAL = 1
"""What `data_location` is of a tensor whose values lie in a file of their own."""

_TYPES: dict[int, tuple[str, str]] = {
    1: ("<f4", "float_data"),
    2: ("|u1", "int32_data"),
    3: ("|i1", "int32_data"),
    4: ("<u2", "int32_data"),
    5: ("<i2", "int32_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("|b1", "int32_data"),
    10: ("<f2", "int32_data"),
    11: ("<f8", "double_data"),
    12: ("<u4", "uint64_data"),
    13: ("<u8", "uint64_data"),
}
"""ONNX's number of an element type → NumPy's, and the field that holds values one by one."""

_NAMES = {8: "texts", 14: "complex64", 15: "complex128", 16: "bfloat16"}


def dtype_of(number: int) -> np.dtype[Any] | None:
    """Return NumPy's element type for ONNX's number of one, or None where there is none that is read."""
    return np.dtype(_TYPES[number][0]) if number in _TYPES else None


def type_name(number: int) -> str:
    """Return how messages call an element type.

    >>> type_name(1), type_name(16), type_name(99)
    ('float32', 'bfloat16', 'type 99')
    """
    dtype = dtype_of(number)
    return str(dtype) if dtype is not None else _NAMES.get(number, f"type {number}")


def array_of(tensor: Any, folder: Path | None, where: str) -> AnyArray:
    """Return the values of a tensor, read-only.

    Arguments:
        tensor: a TensorProto, from anywhere.
        folder: in which files with values may lie; None: nowhere.
        where: how messages begin.

    Raises:
        FormatError: its type is not read, its dims and its values do not fit each other, there are more than a network
            may hold, or they lie in a file outside of `folder`.
    """
    if tensor.data_type not in _TYPES:
        raise FormatError(f"{where} holds {type_name(tensor.data_type)}, which is not read")
    dtype, field = np.dtype(_TYPES[tensor.data_type][0]), _TYPES[tensor.data_type][1]
    shape = tuple(tensor.dims)
    if len(shape) > MAX_RANK or any(side < 0 for side in shape):
        raise FormatError(f"{where} must have at most {MAX_RANK} sides from 0 up, got {shown_value(shape)}")
    size = math.prod(shape)
    if size > MAX_PARAMETERS:
        raise FormatError(f"{where} may hold at most {MAX_PARAMETERS:,} values, its dims say {shown_value(size)}")
    if tensor.HasField("segment"):
        raise FormatError(f"{where} is cut into segments, which is not read")
    if tensor.data_location == _EXTERNAL:
        content = _external(tensor, folder, size * dtype.itemsize, where)
    elif tensor.HasField("raw_data"):
        content = tensor.raw_data
    else:
        return _one_by_one(tensor, field, dtype, shape, where)
    if len(content) != size * dtype.itemsize:
        raise FormatError(
            f"{where} must hold {size * dtype.itemsize:,} bytes, as its dims {list(shape)} say, got {len(content):,}"
        )
    return np.frombuffer(content, dtype).reshape(shape)


def _one_by_one(tensor: Any, field: str, dtype: np.dtype[Any], shape: tuple[int, ...], where: str) -> AnyArray:
    values = getattr(tensor, field)
    if len(values) != math.prod(shape):
        raise FormatError(
            f"{where} must hold {math.prod(shape):,} values, as its dims {list(shape)} say, got {len(values):,}"
        )
    if dtype == np.float16:  # as bits
        array = np.array(values, np.uint32).astype(np.uint16).view(np.float16)
    else:
        with np.errstate(invalid="ignore"):
            array = np.array(values).astype(dtype)
    array = array.reshape(shape)
    array.flags.writeable = False
    return array


def _external(tensor: Any, folder: Path | None, size: int, where: str) -> bytes:
    """Return the bytes that lie in a file beside the model, and nowhere else."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if folder is None:
        raise FormatError(f"{where} lies in the file {shown_value(location)}, and a model from memory has none beside")
    path = folder / location
    inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
    if not location or "\0" in location or Path(location).is_absolute() or ".." in Path(location).parts or not inside:
        raise FormatError(f"{where} must lie in a file in the folder of the model, got {shown_value(location)}")
    offset = _whole(entries.get("offset", "0"), f"{where}: offset")
    length = _whole(entries.get("length", str(size)), f"{where}: length")
    if length != size:
        raise FormatError(f"{where} must hold {size:,} bytes, as its dims say, got a length of {length:,}")
    try:
        with open_file(path) as file:
            there = os.fstat(file.fileno()).st_size
            if offset + length > there:
                raise FormatError(f"{where} ends at byte {offset + length:,} of {path}, which has {there:,}")
            file.seek(offset)
            return file.read(length)
    except OSError as error:
        raise FormatError(f"{where}: {path} cannot be read: {cause_of(error)}") from None


def _whole(text: str, where: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise FormatError(f"{where} must be a whole number, got {shown_value(text)}")
    return int(text)
