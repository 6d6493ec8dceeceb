"""`python -m neocog.jit.worker CALLER`: a process that compiles what it is handed, until there is no more.

It reads frames from stdin and answers each on stdout; nothing but LLVM is loaded, and nothing of the caller's program
runs. A frame is four bytes with its length, then a JSON header or a body:

    first     {"triple": …, "cpu": …, "features": …}
    then      a byte, 1 for thorough, and LLVM IR         → an object file; empty: it could not be compiled

The end of stdin ends it; and where LLVM is at work, which may take minutes, the end of its caller, whose number it is
given, does.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import IO

from neocog.system import family, runs

LENGTH_BYTES = 4
LOOK_AGAIN = 1.0  # seconds, for whether the caller is still there


def write_frame(stream: IO[bytes], body: bytes) -> None:
    """Send a frame."""
    stream.write(len(body).to_bytes(LENGTH_BYTES, "little") + body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> bytes | None:
    """Receive a frame; None at the end of the stream."""
    head = stream.read(LENGTH_BYTES)
    length = int.from_bytes(head, "little")
    body = stream.read(length) if len(head) == LENGTH_BYTES else b""
    return body if len(head) == LENGTH_BYTES and len(body) == length else None


def main() -> None:
    """Compile until stdin ends."""
    if family() != "windows":  # whose processes keep the parent that they had
        threading.Thread(target=_end_with, args=(int(sys.argv[1]),), name="neocog-caller", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, who ends this process
    received, answers = sys.stdin.buffer, sys.stdout.buffer
    from neocog.errors import EngineError
    from neocog.jit.codegen import generate
    from neocog.target.processor import Target

    header = read_frame(received)
    if header is None:
        return
    target = Target(**json.loads(header))
    while (frame := read_frame(received)) is not None:
        try:
            body = generate(frame[1:].decode(), target, thorough=frame[0] == 1)
        except EngineError:
            body = b""  # the caller meets the same error, and tells it
        write_frame(answers, body)


def _end_with(caller: int) -> None:
    """End this process when its caller is gone, or another process has become its parent.

    The parent need not be the caller: some launchers of Python start it as a process of their own.
    """
    parent = os.getppid()
    while os.getppid() == parent and runs(caller):
        time.sleep(LOOK_AGAIN)
    os._exit(1)  # LLVM cannot be interrupted


if __name__ == "__main__":
    main()
