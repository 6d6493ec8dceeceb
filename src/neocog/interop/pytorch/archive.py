"""PyTorch's files: the zip archive that torch.save writes since 2020, and the run of pickles that it wrote before.

Nothing is unpickled. Neither layout is compressed, so that a tensor is bytes of the file, at a place that is known from
the file's index or pickles; each place is held against the file's size before anything is read there.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from neocog.data.inert_machine import SHOWN
from neocog.errors import FormatError
from neocog.interop.pytorch.pickled import PickledTensor, Storage, TorchMachine
from neocog.interop.pytorch.stored import DAMAGED, READ, TYPES, StoredTensor

LEGACY = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""What the first of the run of pickles holds: a number that PyTorch chose."""

MOST_PICKLE = 1 << 26
"""Bytes that a pickle may take: it holds names and shapes, and takes some hundred bytes a tensor."""

_MOST_INDEX = 1 << 24  # bytes that a zip archive's index may have: 100,000 tensors
_END = struct.Struct("<4s4H2IH")  # of a zip archive's end record
_LOCAL = struct.Struct("<4s5H3I2H")  # of what stands before each member

Places = Mapping[str, tuple[int, int]]
"""Key of a storage → its first byte in the file, and how many there are."""


class TorchFile:
    """What a PyTorch file holds.

    Arguments:
        path: of the file.
        value: what it says: dictionaries, lists, numbers, texts, and `PickledTensor`s.
        places: where its storages lie.
    """

    def __init__(self, path: Path, value: Any, places: Places) -> None:
        self.path, self.value, self._places = path, value, places

    def tensor(self, name: str, found: PickledTensor) -> StoredTensor:
        """Return a tensor with its place in the file.

        Raises:
            FormatError: it does not lie in the file.
        """
        storage = found.storage
        place, there = self._places.get(storage.key, (0, 0))
        width = TYPES[storage.dtype][1]
        if storage.key not in self._places or there != storage.size * width:
            raise FormatError(
                f"{self.path}: the storage {storage.key[:SHOWN]} should have {storage.size * width:,} bytes, "
                f"{there:,} are there",
                hint=DAMAGED,
            )
        return StoredTensor(
            name,
            self.path,
            storage.dtype,
            found.shape,
            found.strides,
            place + max(0, found.offset) * width,
            storage.size - found.offset if found.offset >= 0 else -1,
        )


def read_archive(path: Path, file: BinaryIO) -> TorchFile:
    """Read the index and the pickle of a zip archive.

    Raises:
        FormatError: it is damaged, no archive of torch.save, or asks for what weights do not need.
    """
    members = _members(path, file)
    name = next((name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")), None)
    if name is None:
        raise FormatError(
            f"{path} is a zip archive, but none that torch.save writes: it holds no data.pkl",
            hint=READ,
        )
    folder = name.removesuffix("data.pkl")
    if f"{folder}byteorder" in members and _content(path, file, members[f"{folder}byteorder"], 16) != b"little":
        raise FormatError(f"{path} was written on a machine whose numbers begin with the largest byte")
    pickled = _content(path, file, members[name], MOST_PICKLE)
    value = _run(path, TorchMachine(str(path), len(pickled)), pickled)
    prefix = f"{folder}data/"
    places = {
        entry.removeprefix(prefix): (_begin(path, file, info), info.file_size)
        for entry, info in members.items()
        if entry.startswith(prefix)
    }
    return TorchFile(path, value, places)


def read_legacy(path: Path, file: BinaryIO) -> TorchFile:
    """Read the pickles of a file that torch.save wrote before 2020, or without its zip layout.

    Raises:
        FormatError: it is damaged, or asks for what weights do not need.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = _Head(file, min(size, MOST_PICKLE))
    _run(path, TorchMachine(str(path), head.left), head)  # the number
    version = _run(path, TorchMachine(str(path), head.left), head)
    system = _run(path, TorchMachine(str(path), head.left), head)
    if version != 1001 or not isinstance(system, dict) or system.get("little_endian") is not True:
        raise FormatError(f"{path} is a PyTorch file of a version or machine that is not known here")
    machine = TorchMachine(str(path), head.left)
    value = _run(path, machine, head)
    keys = _run(path, TorchMachine(str(path), head.left), head)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or len(set(keys)) < len(keys):
        raise FormatError(f"{path} is damaged: it has no list of storages", hint=DAMAGED)
    place, places = file.tell(), {}
    for key in keys:
        storage: Storage | None = machine.storages.get(key)
        file.seek(place)
        said = int.from_bytes(file.read(8), "little")
        width = 1 if storage is None else TYPES[storage.dtype][1]
        if storage is None or said != storage.size or place + 8 + said * width > size:
            raise FormatError(f"{path} is truncated or damaged: storage {key[:SHOWN]} is not there", hint=DAMAGED)
        places[key] = (place + 8, said * width)
        place += 8 + said * width
    return TorchFile(path, value, places)


class _Head:
    """The start of a file, of which no more is read than may be pickles."""

    def __init__(self, file: BinaryIO, left: int) -> None:
        self.left = left
        self._file = file

    def read(self, count: int) -> bytes:
        content = self._file.read(min(count, self.left)) if count >= 0 else b""
        self.left -= len(content)
        return content

    def readline(self) -> bytes:
        content = self._file.readline(self.left)
        self.left -= len(content)
        return content

    def tell(self) -> int:
        return self._file.tell()


def _run(path: Path, machine: TorchMachine, pickled: Any) -> Any:
    try:
        return machine.run(pickled)
    except (FormatError, MemoryError):
        raise
    except Exception as error:  # a damaged pickle can make any step fail, and pickletools too
        raise FormatError(
            f"{path}: the file is damaged or truncated",
            details=(f"{type(error).__name__}: {error}"[:SHOWN],),
            hint=DAMAGED,
        ) from error


def _members(path: Path, file: BinaryIO) -> dict[str, zipfile.ZipInfo]:
    """Return what a zip archive's index says, which must not be larger than that of any model.

    A program's source in it is compressed, so that what the archive is comes before how it is packed.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END.size - 0xFFFF))
    end = file.read()
    place = end.rfind(b"PK\5\6")
    if place < 0 or len(end) - place < _END.size:
        raise FormatError(f"{path} is truncated: it has no index at its end ({size:,} bytes)", hint=DAMAGED)
    index = _END.unpack_from(end, place)[5]
    if index > _MOST_INDEX:
        raise FormatError(f"{path}: an archive's index may have {_MOST_INDEX:,} bytes, found {index:,}")
    try:
        found = zipfile.ZipFile(file).infolist()
    except Exception as error:  # zipfile has its own for each kind of damage
        if isinstance(error, MemoryError):
            raise
        raise FormatError(
            f"{path}: the archive is damaged ({size:,} bytes)",
            details=(f"{type(error).__name__}: {error}"[:SHOWN],),
            hint=DAMAGED,
        ) from error
    members = {info.filename: info for info in found}
    if len(members) < len(found):
        raise FormatError(f"{path}: the archive is damaged: members have the same name", hint=DAMAGED)
    if any(name.count("/") == 1 and name.endswith("/constants.pkl") for name in members):
        raise FormatError(
            f"{path} is a program of TorchScript, not weights",
            hint="torch.save(torch.jit.load(path).state_dict(), 'weights.pth') writes its weights",
        )
    for info in found:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise FormatError(
                f"{path}: the archive is compressed or encrypted, as PyTorch's are not",
                hint="write it with torch.save, or copy it again",
            )
        if info.file_size != info.compress_size or info.header_offset + info.file_size > size:
            raise FormatError(
                f"{path}: {info.filename[:SHOWN]} should have {info.file_size:,} bytes, in a file of {size:,}",
                hint=DAMAGED,
            )
    return members


def _begin(path: Path, file: BinaryIO, info: zipfile.ZipInfo) -> int:
    """Return where a member's bytes begin in the file."""
    file.seek(info.header_offset)
    head = file.read(_LOCAL.size)
    if len(head) < _LOCAL.size or head[:4] != b"PK\3\4":
        raise FormatError(f"{path}: {info.filename[:SHOWN]} is not where the index says", hint=DAMAGED)
    name, extra = _LOCAL.unpack(head)[-2:]
    begin: int = info.header_offset + _LOCAL.size + name + extra
    return begin


def _content(path: Path, file: BinaryIO, info: zipfile.ZipInfo, most: int) -> bytes:
    if info.file_size > most:
        raise FormatError(f"{path}: {info.filename[:SHOWN]} may have {most:,} bytes, found {info.file_size:,}")
    file.seek(_begin(path, file, info))
    content = file.read(info.file_size)
    if len(content) < info.file_size:
        raise FormatError(f"{path} is truncated: {info.filename[:SHOWN]} is not there", hint=DAMAGED)
    return content
