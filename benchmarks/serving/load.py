"""A load: some connections, each of which sends the same request again and again as soon as it is answered.

One thread, plain sockets and epoll, so that it takes little of the processors that it shares with the server; what it
takes is reported. It ends after its time, or after MOST requests.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import Any

MOST = 2_000_000
STUCK = 10.0  # seconds without any answer, after which it gives up


class Client:
    """A connection, and what of an answer has come."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = 0.0
        self.got = b""

    def complete(self) -> tuple[int, bytes] | None:
        """Return the status and body of an answer, when it is there."""
        head, blank, body = self.got.partition(b"\r\n\r\n")
        if not blank:
            return None
        lower = head.lower()
        at = lower.find(b"content-length:")
        if at < 0:
            raise ValueError("the load needs answers with Content-Length")
        length = int(lower[at + 15 :].split(b"\r\n", 1)[0])
        return (int(head[9:12]), body) if len(body) >= length else None


def request_of(port: int, path: str, body: bytes, kind: str) -> bytes:
    """Return a request as it goes over the line."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def load(port: int, request: bytes, connections: int, seconds: float) -> dict[str, Any]:
    """Send a request over connections for some seconds.

    Returns:
        Answers, those that were refused or differed from the first, seconds, processor seconds of this process, and
        the latencies of all answers in milliseconds, sorted.
    """
    clients = {}
    poll = select.epoll()
    for _ in range(connections):
        client = Client(port)
        clients[client.socket.fileno()] = client
        poll.register(client.socket.fileno(), select.EPOLLIN)
    used, begun = time.process_time(), time.perf_counter()
    until = begun + seconds
    for client in clients.values():
        client.sent = time.perf_counter()
        client.socket.sendall(request)
    first: bytes | None = None
    refused = differing = under_way = 0
    under_way = len(clients)
    latencies: list[float] = []
    while under_way:
        events = poll.poll(STUCK)
        if not events:
            raise TimeoutError(f"{under_way} requests were not answered within {STUCK:.0f} s")
        for number, _ in events:
            client = clients[number]
            piece = client.socket.recv(1 << 16)
            if not piece:
                raise ConnectionError("the server closed a connection")
            client.got = client.got + piece if client.got else piece
            answer = client.complete()
            if answer is None:
                continue
            now = time.perf_counter()
            latencies.append(1000 * (now - client.sent))
            client.got = b""
            if answer[0] != 200:
                refused += 1
            elif first is None:
                first = answer[1]
            elif answer[1] != first:
                differing += 1
            if now < until and len(latencies) < MOST:
                client.sent = now
                client.socket.sendall(request)
            else:
                under_way -= 1
    took = time.perf_counter() - begun
    for client in clients.values():
        client.socket.close()
    return {
        "answers": len(latencies),
        "refused": refused,
        "differing": differing,
        "seconds": took,
        "cpu": time.process_time() - used,
        "latencies": sorted(latencies),
    }


def main() -> None:
    """Run loads as lines on standard input ask for them, and answer each with a line of figures."""
    for line in sys.stdin:
        job = json.loads(line)
        with open(job["file"], "rb") as file:  # noqa: PTH123
            request = request_of(job["port"], job["path"], file.read(), "image/jpeg")
        found = load(job["port"], request, job["connections"], job["seconds"])
        times = found.pop("latencies")
        found["p50"] = times[len(times) // 2]
        found["p99"] = times[min(len(times) - 1, len(times) * 99 // 100)]
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
