"""Compiled objects on disk, so that a program is compiled once for a machine.

An entry is a file named by the hash of everything that went into it: 32 bytes of SHA-256 over the object, then the
object. Entries are written to a temporary file and renamed, so that two processes never meet half an entry; a damaged
one fails its hash and counts as missing. Nothing here ever stops a program: without a usable folder, it compiles.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path

DIGEST_BYTES = 32
MAX_BYTES = 256 << 20


def default_folder() -> Path:
    """Give the user's cache folder; NEOCOG_CACHE names another."""
    chosen = os.environ.get("NEOCOG_CACHE")
    if chosen:
        with contextlib.suppress(RuntimeError):  # a "~name" of nobody is a folder of that name
            return Path(chosen).expanduser()
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "neocog"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neocog"


class ObjectCache:
    """A folder of compiled objects."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.o"

    def load(self, key: str) -> bytes | None:
        """Give an object, or None if it is missing or damaged."""
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        digest, body = data[:DIGEST_BYTES], data[DIGEST_BYTES:]
        if hashlib.sha256(body).digest() != digest:
            return None
        with contextlib.suppress(OSError):
            os.utime(self._path(key))  # the least recently used go first
        return body

    def store(self, key: str, body: bytes) -> None:
        """Keep an object, if the folder can be written."""
        import tempfile  # here, since most programs find all that they need and store nothing

        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(body).digest() + body)
                Path(name).replace(self._path(key))
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
            self._trim()

    def _trim(self) -> None:
        """Remove the least recently used entries beyond MAX_BYTES."""
        entries = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self.folder.glob("*.o"))
        excess = sum(size for _, size, _ in entries) - MAX_BYTES
        for _, size, path in entries:
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size
