"""Lists of paths, one a line: read as they come, so that a list may be of any length, and may be typed."""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from neocog.app.cli.errors import CommandLineError
from neocog.data.walk import format_of
from neocog.errors import DataError
from neocog.reading import expanded, open_file

MOST_LINE = 1 << 20  # bytes; no path is longer
_READ = 1 << 16  # bytes at a time


def paths_on_stdin() -> Iterator[Path | None]:
    """Yield the paths on stdin; None where the next one is not there yet.

    Raises:
        DataError: there is none, or it is no list of paths.
    """
    return _paths(sys.stdin.buffer, "the list of paths on stdin", "for an image on stdin, leave --list out")


def paths_in(file: Path) -> Iterator[Path | None]:
    """Yield the paths in a file. It is opened at once, and read when asked for.

    Raises:
        CommandLineError: there is no such file, or it may not be read.
        DataError: when asked for: it holds none, or is no list of paths.
    """
    try:
        opened = open_file(file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise CommandLineError(
            f"the list of paths {file} cannot be read: {reason}",
            hint="@FILE names a text file with one path a line; a list on stdin is: - --list",
        ) from None
    return _closing(opened, f"the list of paths {file}")


def _closing(file: BinaryIO, name: str) -> Iterator[Path | None]:
    with closing(file):
        yield from _paths(file, name, "to name an image, leave the @ out")


def _paths(stream: BinaryIO, name: str, hint: str) -> Iterator[Path | None]:
    """Yield the paths in a stream; relative ones are relative to the current folder."""
    found, begun = 0, b""
    for block in _blocks(stream):
        if block is None:
            yield None
            continue
        if not found and not begun and (kind := format_of(block)) is not None:
            raise DataError(f"{name} is an image ({kind})", hint=hint)
        # A line end of two bytes may be cut between blocks; the empty line that this makes is passed over.
        *lines, begun = (begun + block).replace(b"\r", b"\n").split(b"\n")
        if len(begun) > MOST_LINE:
            raise DataError(f"{name} has a line of more than {MOST_LINE:,} bytes, which is no path", hint=hint)
        for line in lines:
            if line.strip():
                found += 1
                yield expanded(os.fsdecode(line))
    if begun.strip():
        found += 1
        yield expanded(os.fsdecode(begun))
    if not found:
        raise DataError(f"{name} is empty")


def _blocks(stream: BinaryIO) -> Iterator[bytes | None]:
    """Yield what a stream gives, as it comes; None before a wait."""
    read = stream.read1 if isinstance(stream, io.BufferedReader) else stream.read
    while True:
        if _is_waiting(stream):
            yield None
        block = read(_READ)
        if not block:
            return
        yield block


def _is_waiting(stream: BinaryIO) -> bool:
    """Whether reading would wait for somebody to write. Where the system cannot say, it is taken for ready."""
    try:
        return not select.select([stream], [], [], 0)[0]
    except (OSError, ValueError):  # no file of the system's; ValueError: such as a stream in memory
        return False
