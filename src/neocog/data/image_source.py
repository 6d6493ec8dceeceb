"""What an image may be read from: a path, the bytes of a file, or a stream; each becomes a file."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, TypeAlias

from neocog.data.faults import unknown, unreadable_picture
from neocog.data.formats import HEAD, recognise
from neocog.errors import DataError
from neocog.reading import expanded, open_file

ImageSource: TypeAlias = bytes | bytearray | memoryview | str | os.PathLike[str] | BinaryIO


def name_of(source: object) -> str:
    """Return what errors call a source that its caller gives no name."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    known = getattr(source, "filename", None) or getattr(source, "name", None)
    return known if isinstance(known, str) else "image"


def file_of(source: ImageSource, name: str, most: int) -> BinaryIO:
    """Return a file that can be positioned; of a stream, such as stdin, all that may be read, behind its first bytes.

    A stream stays open; what is closed is what was made here.

    Arguments:
        source: a path, bytes, or a stream.
        name: what errors call the image.
        most: bytes that an image may have; of a stream with more, one more is read.

    Raises:
        DataError: the file or stream cannot be read, or a stream holds no image.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(bytes(source))
    if isinstance(source, str | os.PathLike):
        try:
            return open_file(expanded(source))
        except (OSError, ValueError) as error:
            raise unreadable_picture(name, error) from error
    try:
        head = _upto(source, HEAD)
        sound = not head or recognise(head) is not None
        content = head + _upto(source, most + 1 - len(head)) if sound else b""
        at_end = sound and not content and _position(source) > 0
    except (OSError, ValueError, TypeError) as error:  # ValueError: it is closed, or no UTF-8; TypeError: it is text
        no_bytes = isinstance(error, TypeError | UnicodeError)
        raise DataError(
            f"{name}: the stream cannot be read: {'its read() gives no bytes' if no_bytes else error}",
            hint='open the file in binary mode: open(path, "rb")' if no_bytes else None,
        ) from error
    if at_end:
        raise DataError(f"{name}: the file object is at its end already", hint="go back to its start: file.seek(0)")
    if not sound:
        raise unknown(name, head, None)
    return io.BytesIO(content)


def _upto(stream: BinaryIO, most: int) -> bytes:
    blocks, missing = [], most  # one read of a pipe or socket may give less than is there
    while missing and (block := stream.read(min(missing, 1 << 20))):
        blocks.append(block)
        missing -= len(block)
    return b"".join(blocks)


def _position(stream: BinaryIO) -> int:
    seekable = getattr(stream, "seekable", None)  # which a stream of somebody's own may lack
    return stream.tell() if seekable is not None and seekable() else 0
