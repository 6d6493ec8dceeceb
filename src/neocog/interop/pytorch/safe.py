"""Safetensors files from anywhere: names, types, shapes and places of tensors, from the header alone.

`neocog.model.files` reads those that neocog wrote, whole and with their digest; this reads what others wrote.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from neocog.errors import FormatError
from neocog.interop.pytorch.stored import DAMAGED, READ, TYPES, StoredTensor
from neocog.model.files import MAX_TRAINING_HEADER
from neocog.model.json_values import parse_json, shown_value

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "I64": "int64",
    "U64": "uint64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
"""The format's names of element types → PyTorch's."""


def read_safe(path: Path, file: BinaryIO) -> tuple[dict[str, StoredTensor], Mapping[str, str]]:
    """Return the tensors of a file by name, in the order of its header, and the texts that it keeps beside them.

    Raises:
        FormatError: it is damaged, or promises what it does not hold.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, MAX_TRAINING_HEADER):
        raise FormatError(
            f"{path} is no safetensors file, or truncated: it announces a header of {length:,} bytes in {size:,}",
            hint=READ,
        )
    header = parse_json(file.read(length), f"{path}: the header")
    texts = header.pop("__metadata__", {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise FormatError(f"{path}: __metadata__ must map names to texts, got {shown_value(texts)}")
    begin = 8 + length
    return {name: _tensor(path, name, entry, begin, size) for name, entry in header.items()}, texts


def _tensor(path: Path, name: str, entry: object, begin: int, size: int) -> StoredTensor:
    where = f"{path}: tensor {shown_value(name)}"
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise FormatError(f"{where} must have dtype, shape and data_offsets, got {shown_value(entry)}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise FormatError(f"{where} has the type {shown_value(dtype)}; read are {', '.join(DTYPES)}")
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers):
            raise FormatError(f"{where}: shape and data_offsets must be whole numbers, got {shown_value(numbers)}")
    if len(offsets) != 2 or not offsets[0] <= offsets[1] <= size - begin:
        raise FormatError(f"{where} should lie at {shown_value(offsets)}, of {size - begin:,} bytes", hint=DAMAGED)
    kind = DTYPES[dtype]
    width = TYPES[kind][1]
    if math.prod(shape) * width != offsets[1] - offsets[0]:
        raise FormatError(
            f"{where} of the shape {shown_value(shape)} needs {math.prod(shape) * width:,} bytes, "
            f"{offsets[1] - offsets[0]:,} are there",
            hint=DAMAGED,
        )
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return StoredTensor(name, path, kind, tuple(shape), strides, begin + offsets[0], math.prod(shape))
