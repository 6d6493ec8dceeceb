"""The members of a tar archive, by their places in it: nothing is unpacked, and no name in it ever becomes a path.

The standard library's tarfile reads the headers, through a file that gives it few bytes for each: a header that
declares a name of a gigabyte, or chains of headers without end, are refused before memory is taken. Links, devices,
folders and sparse files are passed over. An archive that is cut, or whose headers are damaged in the middle, is refused
whole, since nobody knows which images are missing.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple, cast

from neocog.errors import FormatError
from neocog.reading import cause_of, open_file

MOST_HEADER = 1 << 16  # bytes of all headers of one member; a long name takes some hundreds
_MOST_RECORDS = 100  # that a global header may say of all members behind it
_BLOCK = 512
_RECORD = 20 * _BLOCK  # an archive is filled up with zeros to a multiple of it
_PART = 1 << 20  # bytes read at a time behind the last member
_AGAIN = "copy it again from its source"
_PACKED = {  # first bytes → what packed an archive, and what unpacks it
    b"\x1f\x8b": ("gzip", "gunzip {}"),
    b"BZh": ("bzip2", "bunzip2 {}"),
    b"\xfd7zXZ": ("xz", "unxz {}"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unzstd {}"),
}


class TarMember(NamedTuple):
    """A file in an archive: its name there, and where its bytes lie, from the archive's start."""

    name: str
    offset: int
    size: int


def members(path: Path, passed_over: Callable[[str], None] | None = None) -> Iterator[TarMember]:
    """Yield the files in an archive, in their order.

    Arguments:
        passed_over: called with the name of each member that is neither file nor folder.

    Raises:
        FormatError: it cannot be read, is packed, is no archive, is cut or damaged, or means no good.
    """
    try:
        with open_file(path) as file:
            yield from _members(path, file, passed_over)
    except OSError as error:
        raise FormatError(f"{path}: the archive cannot be read: {cause_of(error)}") from error


def _members(path: Path, file: BinaryIO, passed_over: Callable[[str], None] | None) -> Iterator[TarMember]:
    start = file.read(8)
    length = file.seek(0, 2)
    file.seek(0)
    for magic, (packer, command) in _PACKED.items():
        if start.startswith(magic):
            raise FormatError(
                f"{path}: the archive is packed ({packer}), and images are read where they lie in it",
                hint=f"unpack it first, and keep the tar: {command.format(path)}; images hardly become smaller by it",
            )
    headers = _Headers(file)
    end = 0  # of what was understood so far
    try:
        archive = tarfile.open(  # noqa: SIM115 - it closes nothing that is not ours
            fileobj=cast(IO[bytes], headers), mode="r:", errors="surrogateescape", encoding="utf-8"
        )
        while (found := archive.next()) is not None:
            headers.left = MOST_HEADER
            archive.members.clear()  # type: ignore[attr-defined]  # it would keep all of them, a kilobyte each
            if found.size < 0:  # the next header would be behind it, and all come again without end
                raise tarfile.ReadError(f"{found.name[:80]!r} has {found.size:,} bytes")
            is_plain = found.isreg() and not found.issparse()
            if is_plain and found.offset_data + found.size > length:
                raise tarfile.ReadError(f"unexpected end of data: {found.name[:80]!r} has {found.size:,} bytes")
            end = found.offset
            if len(archive.pax_headers) > _MOST_RECORDS:
                raise tarfile.ReadError("a global header that is too long")
            if is_plain:
                yield TarMember(found.name, found.offset_data, found.size)
            elif passed_over is not None and not found.isdir():
                passed_over(found.name)
        end = archive.offset
    except (tarfile.TarError, RecursionError, OverflowError, ValueError, MemoryError) as error:
        raise _damaged(path, length, end, error) from error
    _check_end(path, file, length, end)


class _Headers:
    """What tarfile reads: a file, of which it may have so many bytes until the next member is found."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.left = file, MOST_HEADER
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        self.left -= size
        if not 0 <= size <= _RECORD * 4 or self.left < 0:
            raise tarfile.ReadError("a header that is too long")
        return self._file.read(size)


def _check_end(path: Path, file: BinaryIO, length: int, end: int) -> None:
    """Refuse what does not end as an archive does: with zeros, and nothing behind them."""
    file.seek(end)
    rest = file.read(_PART)
    if len(rest) < _BLOCK:
        raise FormatError(
            f"{path}: the archive is cut: {length:,} bytes, without the zeros that every archive ends with", hint=_AGAIN
        )
    if any(rest[:_BLOCK]):
        raise FormatError(f"{path}: the archive is damaged at byte {end:,} of {length:,}", hint=_AGAIN)
    while rest:  # to the end, however many zeros there are: tar -b fills records of any length
        if rest.count(0) != len(rest):
            raise FormatError(
                f"{path}: another archive begins behind the end of the first, at byte {end:,} of {length:,}",
                hint="keep archives in files of their own, rather than joining them with cat",
            )
        rest = file.read(_PART)


def _damaged(path: Path, length: int, end: int, error: Exception) -> FormatError:
    if not length:
        return FormatError(f"{path}: the file is empty (0 bytes), not a tar archive", hint=_AGAIN)
    if "end of data" in str(error) or "truncated" in str(error):
        return FormatError(f"{path}: the archive is cut: {length:,} bytes, and more should follow", hint=_AGAIN)
    where = f"damaged at byte {end:,} of {length:,}" if end else f"no tar archive ({length:,} bytes)"
    return FormatError(f"{path}: {where}", details=(f"{type(error).__name__}: {error}",), hint=_AGAIN)
