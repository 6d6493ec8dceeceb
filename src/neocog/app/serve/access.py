"""The access log: a line of JSON for each request, written a few at a time."""

from __future__ import annotations

import asyncio
import json
import os
import select
import sys
import time
from collections.abc import Mapping
from typing import Any

EVERY = 0.2  # seconds from a line until it is written, with those that came meanwhile
LINES = 100  # that are written at once
BLOCK = 4096  # bytes of a write: more may be torn by other processes, where the file is a pipe
KEPT_LINES = 10_000  # while whoever reads the pipe has stopped; what comes then is left out


class AccessLog:
    """Writes a line for each request, from any number of processes into one file.

    Arguments:
        path: of the file, which grows; "-": stdout.
        loop: on which lines are noted.
    """

    def __init__(self, path: str, loop: asyncio.AbstractEventLoop) -> None:
        self._path, self._loop = path, loop
        self._file = sys.stdout.fileno() if path == "-" else _opened(path)
        self._lines: list[bytes] = []
        self._due: asyncio.TimerHandle | None = None

    def note(self, scope: Mapping[str, Any], status: int, sent: int, received: int, seconds: float) -> None:
        """Note a request that was answered."""
        client = scope.get("client")
        told = {
            "time": round(time.time(), 3),
            "client": client[0] if client else None,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "received": received,
            "sent": sent,
            "ms": round(1000 * seconds, 2),
        }
        if len(self._lines) < KEPT_LINES:
            self._lines.append(json.dumps(told).encode() + b"\n")
        if self._due is None:
            self._due = self._loop.call_later(EVERY, self.write)
        elif len(self._lines) == LINES:
            self.write()

    def write(self) -> None:
        """Write what was noted; what a pipe that is full does not take stays for the next time."""
        if self._due is not None:
            self._due.cancel()
            self._due = None
        blocks, self._lines = _blocks(self._lines), []
        try:
            while blocks and self._takes():
                os.write(self._file, blocks[0])
                del blocks[0]
        except OSError:  # the disk is full, or nobody reads any more: requests are answered all the same
            return
        self._lines = b"".join(blocks).splitlines(keepends=True)
        if self._lines:
            self._due = self._loop.call_later(EVERY, self.write)

    def _takes(self) -> bool:
        """Return whether a block can be written without waiting."""
        poll = select.poll()
        poll.register(self._file, select.POLLOUT)
        return bool(poll.poll(0))

    def reopen(self) -> None:
        """Write into the file of that name from now on: the old one was moved away.

        Raises:
            OSError: it cannot be opened; the old one stays.
        """
        self.write()
        if self._path != "-":
            old, self._file = self._file, _opened(self._path)
            os.close(old)


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


def _blocks(lines: list[bytes], most: int = BLOCK) -> list[bytes]:
    """Join lines to blocks that a pipe takes in one piece.

    >>> _blocks([b"aaa", b"bb", b"c"], 5)
    [b'aaabb', b'c']
    """
    blocks: list[bytes] = []
    for line in lines:
        if blocks and len(blocks[-1]) + len(line) <= most:
            blocks[-1] += line
        else:
            blocks.append(line)
    return blocks
