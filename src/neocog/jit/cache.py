"""Compiled objects on disk, so that a program is compiled once for a machine.

An entry is a file named by its key, the hash of everything that went into it: 32 bytes of SHA-256 over key and objects,
then the objects. Entries are written to a temporary file and renamed, so that two processes never meet half an entry; a
damaged one fails its hash and counts as missing. What is loaded runs, so nothing is loaded that somebody else may have
written. Nothing here ever stops a program: without a usable folder, it compiles.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
import warnings
from pathlib import Path

from neocog.errors import NeocogWarning
from neocog.jit.trust import distrust, is_trusted
from neocog.reading import open_file
from neocog.resources import cache_folder
from neocog.system import runs

DIGEST_BYTES = 32
MAX_BYTES = 256 << 20
MAX_ENTRY_BYTES = 64 << 20  # a network of 100 layers takes about 5 MB
FORGOTTEN = 3600.0  # seconds after which a file that somebody began to write counts as left behind

_swept: set[Path] = set()  # folders in which this process has cleared up


class ObjectCache:
    """A folder of compiled objects.

    Arguments:
        folder: default: the user's cache folder, if there is one; see `neocog.resources.cache_folder`. Without any,
            nothing is kept.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder() if folder is None else folder

    def load(self, key: str) -> bytes | None:
        """Return an object; None where it is missing or damaged, or somebody else may have written it."""
        folder = self._trusted_folder()
        if folder is None:
            return None
        path = folder / f"{key}.o"
        try:
            with open_file(path, MAX_ENTRY_BYTES) as file:
                status = os.fstat(file.fileno())
                if not is_trusted(status):
                    return None
                digest, body = file.read(DIGEST_BYTES), file.read(max(0, status.st_size - DIGEST_BYTES))
                if _digest(key, body) != digest:
                    return None
                with contextlib.suppress(OSError):
                    os.utime(path)  # the least recently used go first
        except (OSError, ValueError):
            return None
        return body

    def store(self, key: str, body: bytes) -> None:
        """Keep an object, if the folder can be written."""
        if self.folder is None or len(body) > MAX_ENTRY_BYTES - DIGEST_BYTES:
            return
        import tempfile  # here, since most programs find all that they need and store nothing

        with contextlib.suppress(OSError):
            if not self.folder.is_dir():
                if self._told_of(_nearest(self.folder), to_be=True):  # before one is made that only gets into the way
                    return
                _make_private(self.folder)
            folder = self._trusted_folder()
            if folder is None:
                return
            handle, name = tempfile.mkstemp(dir=folder, prefix=f"{os.getpid()}-", suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_digest(key, body) + body)
                Path(name).replace(folder / f"{key}.o")
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            _trim(folder)

    def _trusted_folder(self) -> Path | None:
        """Return the folder, if it is there and only this user, or root, can have written what is in it."""
        if self.folder is None:
            return None
        try:
            if self._told_of(self.folder):
                return None
        except (OSError, ValueError):
            return None
        if self.folder not in _swept:
            _swept.add(self.folder)
            _sweep(self.folder)
        return self.folder

    def _told_of(self, folder: Path, *, to_be: bool = False) -> bool:
        """Whether others may have written what lies in a folder, or would in one made there; the user was told of it.

        Raises:
            OSError: there is no such folder.
        """
        reason = distrust(folder, to_be=to_be)
        if reason is not None:
            warning = NeocogWarning(
                f"compiled programs are not kept, since others could change them: {reason}",
                hint="name a folder of your own in NEOCOG_CACHE",
            )
            warnings.warn(warning, stacklevel=1)  # of this line, so that it is told once
        return reason is not None


def _nearest(folder: Path) -> Path:
    """Return a folder, or the first above it that there is."""
    return next((place for place in (folder, *folder.parents) if place.is_dir()), folder)


def _digest(key: str, body: bytes) -> bytes:
    return hashlib.sha256(key.encode() + body).digest()


def _make_private(folder: Path) -> None:
    """Make a folder, and those above that are missing, for this user alone."""
    missing = [folder] if not folder.is_dir() else []
    while missing and not missing[-1].parent.is_dir():
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what killed processes left: files that nobody finishes writing."""
    with contextlib.suppress(OSError):
        for path in folder.glob("*.part"):
            with contextlib.suppress(OSError):
                if not _runs(path.name.split("-")[0]) or path.stat().st_mtime < time.time() - FORGOTTEN:
                    path.unlink(missing_ok=True)


def _runs(number: str) -> bool:
    """Whether there is a process of that number, or no telling."""
    return not number.isdigit() or runs(int(number))


def _trim(folder: Path) -> None:
    """Remove the least recently used entries beyond MAX_BYTES."""
    with os.scandir(folder) as found:  # one look at each: there may be thousands, and every entry that is stored asks
        known = [(entry.stat(), entry.path) for entry in found if entry.name.endswith(".o")]
    excess = sum(status.st_size for status, _ in known) - MAX_BYTES
    if excess <= 0:
        return
    for status, path in sorted(known, key=lambda entry: entry[0].st_mtime):
        if excess <= 0:
            break
        Path(path).unlink(missing_ok=True)
        excess -= status.st_size
