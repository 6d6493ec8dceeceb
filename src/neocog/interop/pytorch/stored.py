"""Tensors that lie in files: what they are is known before any of their values are read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neocog.errors import FormatError
from neocog.model.json_values import shown_value
from neocog.reading import cause_of, open_file

TYPES = {
    "float64": ("<f8", 8),
    "float32": ("<f4", 4),
    "float16": ("<f2", 2),
    "bfloat16": ("<u2", 2),
    "int64": ("<i8", 8),
    "uint64": ("<u8", 8),
    "int32": ("<i4", 4),
    "int16": ("<i2", 2),
    "int8": ("<i1", 1),
    "uint8": ("<u1", 1),
    "bool": ("?", 1),
}
"""PyTorch's names of element types → NumPy's, and bytes of an element."""

MOST_AXES = 8

DAMAGED = "copy or download the file again"
READ = "weights are read from .pt, .pth and .safetensors files"
"""Hints: of a file that is damaged, and of one of another kind."""

_SPREAD = 64  # elements that are read for each one that is needed
_SPREAD_ANYHOW = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file. It is read when it is asked for: a file may hold more than anybody needs, and promise more
    than it holds.

    Arguments:
        name: what errors call it.
        path: of the file.
        dtype: one of `TYPES`.
        shape: extents.
        strides: in elements, one for each axis.
        place: byte of the file at which its first element lies.
        room: elements that lie there, from the first one on.

    Raises:
        FormatError: it reaches beyond the room, or its shape is none.
    """

    name: str
    path: Path
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    place: int
    room: int

    def __post_init__(self) -> None:
        if len(self.shape) > MOST_AXES or len(self.shape) != len(self.strides):
            raise self._wrong(f"{len(self.shape)} axes and {len(self.strides)} strides")
        if any(number < 0 for number in (*self.shape, *self.strides, self.room, self.place)):
            raise self._wrong(f"a shape of {shown_value(self.shape)} and strides of {shown_value(self.strides)}")
        if self.span > self.room:
            raise self._wrong(f"{self.span:,} elements, of which {max(0, self.room):,} are there")

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def span(self) -> int:
        """Elements of the file from its first to its last."""
        if 0 in self.shape:
            return 0
        return 1 + sum((extent - 1) * stride for extent, stride in zip(self.shape, self.strides, strict=True))

    def read(self) -> NDArray[np.generic]:
        """Return its values; bfloat16 as float32, which holds all of them.

        Raises:
            FormatError: the file cannot be read, or holds its values spread so thin that it is no file of weights.
        """
        if self.span > max(_SPREAD_ANYHOW, _SPREAD * self.size):
            raise self._wrong(f"{self.size:,} values spread over {self.span:,}")
        kind, width = TYPES[self.dtype]
        try:
            with open_file(self.path) as file:
                file.seek(self.place)
                content = file.read(self.span * width)
        except OSError as error:
            raise FormatError(f"{self.path} cannot be read: {cause_of(error)}") from None
        if len(content) < self.span * width:
            raise self._wrong(f"{self.span * width:,} bytes, of which {len(content):,} are there")
        flat = np.frombuffer(content, kind)
        steps = tuple(stride * width for stride in self.strides)
        values = np.lib.stride_tricks.as_strided(flat, self.shape, steps, writeable=False)
        if self.dtype == "bfloat16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return np.array(values, values.dtype.newbyteorder("="), order="C")

    def _wrong(self, what: str) -> FormatError:
        return FormatError(f"{self.path}: tensor {shown_value(self.name)} asks for {what}", hint=DAMAGED)
