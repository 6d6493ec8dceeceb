"""The one way to write a file: so that a failure leaves the old one as it was."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
from pathlib import Path

from neocog.errors import NeocogError
from neocog.reading import cause_of, expanded

_TEMPORARY = re.compile(r"\..+\.\d+-[0-9a-f]{8}\.tmp")  # as write_atomically names them


def write_atomically(path: str | Path, content: bytes, *, forced: bool = True) -> None:
    """Write a file so that at every moment the old or the new content is there, whole.

    It goes to a temporary file in the same folder, is forced to the disk, and takes the name of `path`. A device or a
    named pipe, such as /dev/null, is written to: it must not be replaced by a file.

    Arguments:
        path: the file.
        content: all of it.
        forced: whether the disk is waited for, a millisecond or more. Without, a process that is killed does no harm
            either, but a machine that loses its power may.

    Raises:
        NeocogError: the file cannot be written; the old one is as it was.
    """
    path = expanded(path)
    target = Path(os.path.realpath(path))  # a symbolic link stays one
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        if target.is_char_device() or target.is_block_device() or target.is_fifo():
            with target.open("wb") as device:
                device.write(content)
            return
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                if forced:
                    os.fsync(file.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
        if forced:
            _sync_folder(target.parent)
    except OSError as error:
        raise _write_error(path, len(content), error) from None


def check_place(path: Path) -> None:
    """Check that there is a folder for a file, before what it will hold is computed.

    Raises:
        NeocogError: there is none, or a folder lies where the file would be.
    """
    if path.is_dir():
        raise _write_error(path, 0, IsADirectoryError())
    if not Path(os.path.realpath(path)).parent.exists():
        raise _write_error(path, 0, FileNotFoundError())


def remove_temporary_files(folder: Path) -> None:
    """Remove what `write_atomically` left in a folder when its process was killed; nobody may be writing there."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            with contextlib.suppress(OSError):
                path.unlink()


def _sync_folder(folder: Path) -> None:
    # The new name itself is only safe once the folder is on the disk; not every system lets one open a folder.
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def _write_error(path: Path, size: int, error: OSError) -> NeocogError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NeocogError(f"{path} cannot be written: the disk is full ({size:,} bytes are needed)")
    if isinstance(error, FileNotFoundError):
        # of a symbolic link that leads nowhere, the folder that it leads to
        folder = Path(os.path.realpath(path)).parent if path.parent.is_dir() else path.parent
        return NeocogError(f"{path} cannot be written: there is no folder {folder}")
    reason = "it is a folder" if path.is_dir() else cause_of(error)
    return NeocogError(f"{path} cannot be written: {reason}")
