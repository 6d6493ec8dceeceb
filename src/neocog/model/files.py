"""Safetensors files that neocog writes, read strictly.

What this will not do: read other element types than float32 (and uint64 where a file's kind has such tensors), or
other containers than safetensors.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Array
from neocog.engines.room import lacking
from neocog.errors import FormatError, SettingError
from neocog.model.json_values import parse_json, shown_value
from neocog.reading import cause_of, expanded, open_file

MAX_HEADER = 10_000_000
"""Bytes of JSON that a header may take: what 260,000 classes need."""

MAX_TRAINING_HEADER = 100_000_000
"""The same for a last.safetensors, whose header grows with each epoch; the safetensors library reads no longer ones."""

MAX_FILE = 3 * (4 << 30) + MAX_TRAINING_HEADER
"""Bytes of a file: the most weights that a network may hold, and twice as much for the optimizer's memory."""

HEAD = 64
"""Bytes of a file's start that tell what else it is, where it is no safetensors file."""

COPIES = 4
"""Of a file's bytes that are in memory while it is read: the file, what the safetensors library makes of it, arrays."""

METADATA_KEY = "neocog"


@dataclass(frozen=True, slots=True)
class TensorFile:
    """A neocog file as it was read.

    Arguments:
        document: the JSON of its metadata.
        tensors: name → float32 array.
        whole: name → uint64 array, of the tensors that may be such.
    """

    document: dict[str, Any]
    tensors: dict[str, Array]
    whole: dict[str, NDArray[np.uint64]] = field(default_factory=dict)


def tensor_bytes(
    document: Mapping[str, object],
    tensors: Mapping[str, Array],
    whole: Mapping[str, NDArray[np.uint64]] | None = None,
    *,
    most_header: int = MAX_HEADER,
) -> bytes:
    """Return a document and its tensors as the bytes of a safetensors file; same values, same bytes.

    Arguments:
        document: JSON values.
        tensors: written as float32.
        whole: written as uint64.
        most_header: bytes that the header may take.

    The document gets "sha256", the digest of everything behind the header.

    Raises:
        SettingError: the header would be longer than `most_header` bytes, which are what its reader takes.
    """
    from safetensors.numpy import save

    # safetensors puts wider elements first, and orders tensors of one element type by name: so the digest can be known
    # before the header is.
    digest = hashlib.sha256()
    dense: dict[str, NDArray[Any]] = {
        name: np.asarray(value, "<u8", order="C") for name, value in sorted((whole or {}).items())
    }
    dense |= {name: np.asarray(tensors[name], "<f4", order="C") for name in sorted(tensors)}
    for value in dense.values():
        digest.update(value.tobytes())
    document = {**document, "sha256": digest.hexdigest()}
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    content = save(dense, {METADATA_KEY: text})
    (length,) = struct.unpack("<Q", content[:8])
    if length > most_header:
        raise SettingError(f"the header of a file may take {most_header:,} bytes, got {length:,}")
    return content


def read_tensor_file(
    path: str | Path,
    whole: Container[str] = (),
    *,
    most_header: int = MAX_HEADER,
    most_bytes: int = MAX_FILE,
) -> TensorFile:
    """Read a safetensors file that neocog wrote, and check everything that its own header and digest promise.

    Nothing but the header is read before the file was found to be as long as that says.

    Arguments:
        path: the file; "~" is understood.
        whole: names of tensors that are uint64; all others are float32.
        most_header, most_bytes: of the header, and of the whole file.

    Raises:
        FormatError: there is no such file, it is damaged, or it is of another kind; the message says where.
    """
    path = expanded(path)
    try:
        with open_file(path, most_bytes) as file:
            return _read(path, file, os.fstat(file.fileno()).st_size, whole, most_header)
    except FileNotFoundError:
        raise FormatError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise FormatError(f"{path} is a folder, not a model file", hint=_folder_hint(path)) from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {cause_of(error)}") from None
    except ValueError as error:  # a NUL byte, which no path can hold; FormatError is one too, and passes
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{str(path)!r}: no file can have this name: {error}") from None


def read_tensor_bytes(
    where: str, content: bytes, whole: Container[str] = (), *, most_header: int = MAX_HEADER
) -> TensorFile:
    """Read what `tensor_bytes` gave; `read_tensor_file` of a file that was never one.

    Raises:
        FormatError: it is damaged, or of another kind; the message begins with `where`.
    """
    return _read(Path(where), io.BytesIO(content), len(content), whole, most_header)


def read_document(path: Path, *, most_header: int = MAX_HEADER) -> dict[str, Any]:
    """Return the JSON of a neocog file's metadata; tensors are not looked at.

    Raises:
        FormatError: it cannot be read, or is of another kind.
    """
    try:
        with open_file(path) as file:
            _, header = _read_header(path, file, os.fstat(file.fileno()).st_size, most_header)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {cause_of(error)}") from None
    return _read_document(path, header)


def _read(path: Path, file: BinaryIO, length: int, whole: Container[str], most_header: int) -> TensorFile:
    """Read a file of so many bytes, and check it."""
    header_bytes, header = _read_header(path, file, length, most_header)
    document = _read_document(path, header)
    size = _check_size(path, header, length - 8 - len(header_bytes))
    left = lacking(COPIES * size)
    if left is not None:
        raise FormatError(
            f"{path} cannot be read: its {size:,} bytes of tensors take {COPIES * size / 1e9:,.1f} GB of "
            f"memory, {left / 1e9:,.1f} GB are left"
        )
    body = file.read(size + 1)
    if len(body) != size:
        raise FormatError(f"{path} is truncated: {size:,} bytes of tensors were expected, {len(body):,} are there")
    digest = document.pop("sha256", None)
    if digest is not None and digest != hashlib.sha256(body).hexdigest():
        raise FormatError(
            f"{path} is damaged: its tensors do not match the digest in its header",
            hint="copy it again; if its tensors were edited on purpose, remove sha256 from its metadata",
        )
    tensors, integers = _read_tensors(path, struct.pack("<Q", len(header_bytes)) + header_bytes + body, whole)
    return TensorFile(document, tensors, integers)


def _folder_hint(path: Path) -> str | None:
    inside = path / "model.safetensors"
    return f"try {inside}" if inside.exists() else None


def _read_header(path: Path, file: BinaryIO, size: int, most: int) -> tuple[bytes, dict[str, Any]]:
    start = file.read(8)
    if len(start) < 8:
        raise FormatError(f"{path} is {'empty' if not start else 'truncated'}: a model file begins with 8 bytes")
    (length,) = struct.unpack("<Q", start)
    head = start + file.read(HEAD - len(start))
    file.seek(len(start))
    if length > most or head[8:9] not in (b"{", b""):  # a header is a JSON object
        from neocog.model.foreign import kind_of_file  # with Pillow, which nothing else here needs

        other = kind_of_file(path, head)
        if other is not None:
            raise other
    if length > most:
        raise FormatError(
            f"{path} is not a safetensors file: its first 8 bytes announce a header of {length:,} bytes "
            f"(at most {most:,})"
        )
    there = size - len(start)
    text = file.read(length) if length <= there else b""
    if len(text) < length:
        raise FormatError(f"{path} is truncated: {length:,} bytes of header were expected, {there:,} are there")
    header = parse_json(text, f"{path}: the header")
    return text, header


def _read_document(path: Path, header: dict[str, Any]) -> dict[str, Any]:
    metadata = header.get("__metadata__")
    if not isinstance(metadata, dict) or METADATA_KEY not in metadata:
        raise FormatError(
            f"{path} is not a neocog model: it is a safetensors file from elsewhere, without {METADATA_KEY!r} metadata",
            hint="neocog import FILE --model NAME makes a model of weights from elsewhere",
        )
    text = metadata[METADATA_KEY]
    if not isinstance(text, str):
        raise FormatError(f"{path}: the {METADATA_KEY} metadata must be a string, got {type(text).__name__}")
    return parse_json(text, f"{path}: the {METADATA_KEY} metadata")


def _check_size(path: Path, header: dict[str, Any], there: int) -> int:
    """Return the bytes of tensors that the header announces, or raise before reading them if others are there."""
    ends = [0]
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        offsets = entry.get("data_offsets") if isinstance(entry, dict) else None
        if not (
            isinstance(offsets, list)
            and len(offsets) == 2
            and all(type(o) is int and 0 <= o < 1 << 63 for o in offsets)
        ):
            raise FormatError(
                f"{path}: tensor {shown_value(name)} must have two data_offsets, got {shown_value(offsets)}"
            )
        ends.append(offsets[1])
    announced = max(ends)
    if there != announced:
        kind = "truncated" if there < announced else "damaged"
        raise FormatError(f"{path} is {kind}: {announced:,} bytes of tensors were expected, {there:,} are there")
    return announced


def _read_tensors(
    path: Path, content: bytes, whole: Container[str]
) -> tuple[dict[str, Array], dict[str, NDArray[np.uint64]]]:
    from safetensors import SafetensorError, deserialize

    decode: Callable[[bytes], Any] = deserialize
    try:
        entries = decode(content)
    except SafetensorError as error:
        raise FormatError(f"{path} is not a valid safetensors file: {error}") from None
    tensors: dict[str, Array] = {}
    integers: dict[str, NDArray[np.uint64]] = {}
    for name, entry in entries:
        wanted = "U64" if name in whole else "F32"
        if entry["dtype"] != wanted:
            raise FormatError(f"{path}: tensor {shown_value(name)} must be of type {wanted}, got {entry['dtype']}")
        if name in whole:
            integers[name] = np.frombuffer(entry["data"], "<u8").reshape(entry["shape"]).astype(np.uint64)
        else:
            tensors[name] = np.frombuffer(entry["data"], "<f4").reshape(entry["shape"]).astype(np.float32)
    return tensors, integers
