"""The command `python -m benchmarks.serving.hostile`: requests that mean no good, and clients that never end theirs.

A server of its own gets requests drawn at random (damaged and truncated pictures, images that unpack to much, JSON of
all kinds, heads and bodies cut off), while slow clients hold connections with half a request each, and one client asks
properly all the time. It fails where a proper answer differs from the first or does not come, or a worker ends; it
reports statuses, the server's memory before and after, and the proper client's latency.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import socket
import statistics
import struct
import tempfile
import threading
import time
import zlib
from collections import Counter
from pathlib import Path

import httpx

from benchmarks.serving.__main__ import OURS, ask, make_files, served

SEED = 7


def bomb(width: int, height: int) -> bytes:
    """Return a small PNG of many pixels."""
    rows = zlib.compress(bytes(height * (1 + width // 8)), 9)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def body_of(draw: random.Random, picture: bytes, bombs: list[bytes]) -> bytes:
    """Return a body that is hardly what was asked for."""
    kind = draw.randrange(7)
    if kind == 0:
        return picture[: draw.randrange(len(picture))]
    if kind == 1:
        damaged = bytearray(picture)
        for _ in range(draw.randrange(1, 20)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        return bytes(damaged)
    if kind == 2:
        return draw.randbytes(draw.randrange(5000))
    if kind == 3:
        return draw.choice(bombs)
    if kind == 4:
        return b"[" * draw.randrange(200_000)
    if kind == 5:
        text = base64.b64encode(picture).decode()[: draw.randrange(2000)]
        return json.dumps({"inputs": draw.choice([text, 7, None, [text], "http://127.0.0.1/"])}).encode()
    tensor = {"name": "pixels", "datatype": "FP32", "shape": [draw.randrange(-2, 2**31), 32, 32, 3]}
    return json.dumps({"inputs": [{**tensor, "data": [draw.random()] * draw.randrange(3073)}]}).encode()


def attack(port: int, count: int, draw: random.Random, picture: bytes, told: Counter[str]) -> None:
    """Send hostile requests one after another."""
    bombs = [bomb(20_000, 20_000), bomb(7_000, 7_000), bomb(100_000, 8)]
    paths = ["/", "/models/small-32", "/v2/models/small-32/infer", "/v2/models/%00/infer", "/?top_k=-1", "/../.."]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
        for _ in range(count):
            body = body_of(draw, picture, bombs)
            if draw.random() < 0.2:  # cut off somewhere
                head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body) + draw.randrange(9)}\r\n\r\n"
                request = (head.encode() + body)[: draw.randrange(len(head) + len(body))]
                with socket.create_connection(("127.0.0.1", port), 60) as connection:
                    connection.sendall(request)
                told["cut off"] += 1
                continue
            headers = {"Content-Type": draw.choice(["image/jpeg", "application/json", "", "; ;"])}
            if draw.random() < 0.2:
                headers["Inference-Header-Content-Length"] = str(draw.randrange(-9, 2 * len(body) + 2))
            try:
                answer = client.post(draw.choice(paths), content=body, headers=headers)
                told[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                told[type(error).__name__] += 1


def memory(port: int) -> dict[str, float]:
    """Return what the server says of its processes."""
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=120).text.splitlines()
    found = {"MiB": 0.0, "started": 0.0}
    for line in lines:
        if line.startswith("neocog_process_resident_bytes"):
            found["MiB"] += float(line.rpartition(" ")[2]) / 2**20
        if line.startswith("neocog_process_started"):
            found["started"] += float(line.rpartition(" ")[2])
    return found


class Proper:
    """A client that asks the same all the time."""

    def __init__(self, port: int, picture: bytes) -> None:
        self._port, self._picture, self._over = port, picture, threading.Event()
        self._want = ask(port, picture)
        self.times: list[float] = []
        self.wrong = 0
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=120) as client:
            while not self._over.wait(0.02):
                begun = time.perf_counter()
                answer = client.post("/", content=self._picture)
                self.times.append(1000 * (time.perf_counter() - begun))
                self.wrong += answer.status_code != 200 or answer.json() != self._want

    def end(self) -> None:
        """Ask no more."""
        self._over.set()
        self._thread.join()


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.hostile", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--slow", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, onnx, file = make_files("small-32", Path(folder))
        picture = file.read_bytes()
        with served(OURS, model, onnx) as port:
            ask(port, picture)
            time.sleep(2)
            before = memory(port)
            proper = Proper(port, picture)
            slow = []
            for number in range(options.slow):
                connection = socket.create_connection(("127.0.0.1", port), 60)
                connection.sendall(
                    b"POST / HTTP/1.1\r\nHost: localhost\r\n" + b"Content-Length: 90000\r\n\r\n" * (number % 2)
                )
                slow.append(connection)
            told: Counter[str] = Counter()
            each = options.requests // options.clients
            threads = [
                threading.Thread(target=attack, args=(port, each, random.Random(SEED + number), picture, told))
                for number in range(options.clients)
            ]
            begun = time.perf_counter()
            for thread in threads:
                thread.start()
            most = 0.0
            while any(thread.is_alive() for thread in threads):
                time.sleep(0.5)
                most = max(most, memory(port)["MiB"])
            took = time.perf_counter() - begun
            proper.end()
            after = memory(port)
            for connection in slow:
                connection.close()
    times = sorted(proper.times)
    print(f"{sum(told.values()):,} hostile requests in {took:.0f} s, {options.slow} slow connections: {dict(told)}")
    print(f"memory of all processes: {before['MiB']:.0f} MiB before, {most:.0f} at most, {after['MiB']:.0f} after")
    print(f"{len(times):,} proper requests: {proper.wrong} wrong, p50 {statistics.median(times):.1f} ms, ", end="")
    print(f"p99 {times[len(times) * 99 // 100]:.1f} ms; workers started {after['started']:.0f} times")
    if proper.wrong or after["started"] != before["started"] or told["500"]:
        raise SystemExit("it did not hold")


if __name__ == "__main__":
    main()
