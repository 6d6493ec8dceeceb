"""`python -m neocog.jit.worker`: a process that compiles what it is handed, until there is no more.

It reads frames from stdin and answers each on stdout; nothing but LLVM is loaded, and nothing of the caller's program
runs. A frame is four bytes with its length, then a JSON header or a body:

    first     {"triple": …, "cpu": …, "features": …}
    then      a byte, 1 for thorough, and LLVM IR         → an object file; empty: it could not be compiled

The end of stdin ends it, so it never outlives its caller.
"""

from __future__ import annotations

import json
import signal
import sys
from typing import IO

LENGTH_BYTES = 4


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


if __name__ == "__main__":
    main()
