"""The one way in which files are opened for reading: regular files only, and no more of them than may be.

A name in a data set, or on the command line, may lead to something that is no file: a fifo or a socket would be waited
for without end, a device such as /dev/zero read without end. So what was opened is looked at before anything is read,
and who reads says how much at most.

What this does not do: decide what an error is called. Everything that goes wrong is an OSError with a `strerror` that
fits behind "the file cannot be read: " (`cause_of`); the rooms above make their own errors of it.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_KINDS = (
    (stat.S_ISFIFO, "a fifo"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotAFileError(OSError):
    """What lies there is a fifo, a socket or a device."""


class TooLargeError(OSError):
    """A file holds more bytes than its reader takes."""


_CHUNK = 1 << 16  # little, for what is read when memory runs out


def open_file(path: str | os.PathLike[str], most: int | None = None) -> BinaryIO:
    """Open a regular file for reading; symbolic links are followed.

    Arguments:
        path: of the file.
        most: bytes that it may hold; None: any number.

    Returns:
        The file, positioned at its start. Never waits, whatever lies there.

    Raises:
        OSError: there is no such file, it may not be read, it is a folder (IsADirectoryError), a fifo, a socket or a
            device (NotAFileError), or holds more than `most` bytes (TooLargeError).
        ValueError: the path holds a NUL byte, which no path can.

    >>> open_file("/dev/null")
    Traceback (most recent call last):
    neocog.reading.NotAFileError: [Errno 22] it is a device, not a file: '/dev/null'
    """
    # The file takes the descriptor from its opener, so that at each moment one of the two has to close it. Were both
    # to, an interrupt between them would end in EBADF, an OSError like those of files that cannot be read.
    return open(path, "rb", opener=lambda name, _: _open_regular(name, most))


def _open_regular(path: str, most: int | None) -> int:
    # Without O_NONBLOCK, opening a fifo waits for a writer; on a regular file it changes nothing.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0))
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(status.st_mode):
            kind = next((name for test, name in _KINDS if test(status.st_mode)), "something else")
            raise NotAFileError(errno.EINVAL, f"it is {kind}, not a file", os.fspath(path))
        if most is not None and status.st_size > most:
            reason = f"it holds {status.st_size:,} bytes, at most {most:,} are read"
            raise TooLargeError(errno.EFBIG, reason, os.fspath(path))
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_file(path: str | os.PathLike[str], most: int) -> bytes:
    """Read a whole regular file of at most `most` bytes.

    Raises:
        OSError, ValueError: as `open_file`; also where the file grew past `most` meanwhile.
    """
    with open_file(path, most) as file:
        # Not `read(most + 1)`, which takes that much memory for a file of any size.
        content = file.read(min(os.fstat(file.fileno()).st_size, most) + 1)
        while len(content) <= most and (more := file.read(_CHUNK)):  # it is growing, or one of /proc
            content += more
    if len(content) > most:
        raise TooLargeError(errno.EFBIG, f"it holds more than {most:,} bytes", os.fspath(path))
    return content


def read_text(path: str | os.PathLike[str], most: int) -> str:
    """Read a whole regular file of at most `most` bytes as UTF-8; a byte order mark at its start is left out.

    Raises:
        OSError, ValueError: as `read_file`; UnicodeDecodeError, which is a ValueError, where it is not UTF-8.
    """
    return read_file(path, most).decode("utf-8-sig")


def cause_of(error: OSError) -> str:
    """Return why a file could not be opened, read or written, as it stands behind "cannot be read: ".

    >>> cause_of(PermissionError(13, "Permission denied"))
    'permission denied'
    """
    return (error.strerror or str(error)).lower()


def expanded(path: str | os.PathLike[str]) -> Path:
    """Return a path with a leading "~" or "~user" as that user's home folder, as a shell would write it.

    Where there is such a file or folder, or nobody of that name, the path stays as it is.
    """
    plain = Path(path)
    if not os.fspath(plain).startswith("~") or os.path.lexists(plain):
        return plain
    try:
        return plain.expanduser()
    except RuntimeError:  # no such user, or no home
        return plain
