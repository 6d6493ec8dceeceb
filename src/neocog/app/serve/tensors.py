"""Tensors as the Open Inference Protocol writes them: as JSON, or as bytes behind it.

The binary extension is that of Triton (docs/protocol/extension_binary_data): the header Inference-Header-Content-Length
says how many bytes of the body are JSON; tensors with a parameter binary_data_size follow it in their order, numbers
little-endian in rows, BYTES each as its length in four bytes and then itself.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.app.serve.body import read_base64
from neocog.app.serve.refusal import Refusal

KINDS: dict[str, np.dtype[Any]] = {"UINT8": np.dtype(np.uint8), "FP32": np.dtype("<f4")}
"""Numbers that are taken, by the protocol's names."""

MOST_SIDES = 8


def shape_of(entry: dict[str, Any], name: str) -> tuple[int, ...]:
    """Return a tensor's shape.

    Raises:
        Refusal: it has none.
    """
    shape = entry.get("shape")
    if (
        not isinstance(shape, list)
        or not 1 <= len(shape) <= MOST_SIDES
        or not all(type(side) is int and 0 <= side < 2**31 for side in shape)
    ):
        raise Refusal(400, f"input {name}: shape must be a list of whole numbers")
    return tuple(shape)


def read_texts(entry: dict[str, Any], name: str, packed: memoryview | None) -> list[bytes]:
    """Return the elements of a BYTES tensor; in JSON each is base64.

    Raises:
        Refusal: they are not as many as its shape says, or damaged.
    """
    wanted = math.prod(shape_of(entry, name))
    if packed is None:
        data = entry.get("data")
        if not isinstance(data, list) or len(data) != wanted:
            raise Refusal(400, f"input {name}: data must be a flat list of {wanted:,} texts")
        return [read_base64(text, f"input {name}") for text in data]
    found: list[bytes] = []
    place = 0
    while place < len(packed):
        if len(found) == wanted or place + 4 > len(packed):
            raise Refusal(400, f"input {name}: its bytes are not {wanted:,} texts")
        (length,) = struct.unpack_from("<I", packed, place)
        if place + 4 + length > len(packed):
            raise Refusal(400, f"input {name}: a text is longer than what came")
        found.append(bytes(packed[place + 4 : place + 4 + length]))
        place += 4 + length
    if len(found) != wanted:
        raise Refusal(400, f"input {name}: {wanted:,} texts were needed, got {len(found):,}")
    return found


def read_numbers(entry: dict[str, Any], name: str, packed: memoryview | None) -> NDArray[Any]:
    """Return a tensor of numbers.

    Raises:
        Refusal: its kind is not taken, or its numbers are not as many as its shape says.
    """
    kind = KINDS.get(str(entry.get("datatype")))
    if kind is None:
        raise Refusal(400, f"input {name}: datatype must be {' or '.join(KINDS)}")
    shape = shape_of(entry, name)
    wanted = math.prod(shape)
    if packed is not None:
        if len(packed) != wanted * kind.itemsize:
            needed = wanted * kind.itemsize
            raise Refusal(400, f"input {name}: {needed:,} bytes were needed, got {len(packed):,}")
        return np.frombuffer(packed, kind).reshape(shape)
    try:
        numbers = np.array(entry.get("data"))
        if numbers.dtype.kind not in "iuf" or numbers.size != wanted:
            raise ValueError
        if kind == np.uint8 and not ((numbers >= 0) & (numbers <= 255) & (numbers == numbers.round())).all():
            raise ValueError
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused later
            return numbers.astype(kind).reshape(shape)
    except (ValueError, TypeError, OverflowError):
        raise Refusal(400, f"input {name}: data must be {wanted:,} numbers of {entry['datatype']}") from None


def packed_texts(texts: Sequence[str]) -> bytes:
    """Return a BYTES tensor's elements as the binary extension has them.

    >>> packed_texts(["cat"])
    b'\\x03\\x00\\x00\\x00cat'
    """
    encoded = [text.encode("utf-8", "replace") for text in texts]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)
