"""What a server is told: where it listens, how many compute, and how much it takes before it refuses."""

from __future__ import annotations

from dataclasses import dataclass

BATCH = 64
"""Images that the program is made for, as in `neocog predict`: the same program gives the same bits."""

MOST_JSON = 4 << 20
"""Bytes of JSON beside one image or a binary tensor: JSON is read at one go, while nothing else can go on."""

HEAD_BYTES = 1 << 16
"""Bytes of a request's head."""

HEAD_SECONDS = 10.0
"""That the head of a request may take."""

BODY_SECONDS = 20.0
"""That its body may take, and one second more for BODY_RATE bytes that came: a slow line is no halt."""

BODY_RATE = 16 << 10

KEPT_SECONDS = 75
"""That a connection may be silent between two requests."""

ANSWER_SECONDS = 30.0
"""That a client may leave an answer unread, to the byte."""

LAST_SECONDS = 1.0
"""In which a server that ends still answers what comes over connections that are open: each answer closes one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How a server serves.

    Arguments:
        host, port: where it listens; port 0 takes a free one.
        workers: processes that answer.
        threads: that each of them computes on.
        max_batch: images that are answered together, at most BATCH.
        max_wait: seconds in which images are gathered to be answered together.
        max_queue: images that may wait in a process; more are refused with 429.
        max_body: bytes of a request's body.
        max_pixels: of an image that is decoded.
        max_connections: of all processes together; silent ones give way to new ones.
        timeout: seconds that a request may wait for its turn.
        drain: seconds that requests under way get when the server ends.
        token: what every request must carry; None: nothing.
        loopback: whether only this machine can reach it; then no other name than its own is answered to.
        access_log: where a line of JSON for each request goes; "-": stdout; None: nowhere.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    threads: int = 1
    max_batch: int = BATCH
    max_wait: float = 0.005
    max_queue: int = 256
    max_body: int = 32 << 20
    max_pixels: int = 50_000_000
    max_connections: int = 1024
    timeout: float = 30.0
    drain: float = 30.0
    token: str | None = None
    loopback: bool = True
    access_log: str | None = None

    @property
    def most_waiting_bytes(self) -> int:
        """Bytes of bodies that a process holds at a time."""
        return max(2 * self.max_body, 64 << 20)

    @property
    def connections_each(self) -> int:
        """Connections that a process may have."""
        return max(1, -(-self.max_connections // self.workers))
