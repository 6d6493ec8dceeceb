"""The command `python -m benchmarks.serving.soak --minutes 60`: a steady load for long, memory and latency as they go.

Requests are sent at a rate, whatever the answers take, over connections that are kept. A line for each part of the
time says the memory of all processes, p50 and p99, and how busy the processors were, other programs and a
hypervisor's theft included: where they are full, latency is theirs. At the end the trend of the memory is printed.
"""

from __future__ import annotations

import argparse
import http.client
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.serving.__main__ import OURS, ask, make_files, served
from benchmarks.serving.hostile import memory

PARTS = 12


class Steady:
    """Threads that share a rate, each over a connection of its own.

    Arguments:
        port, picture: where and what to ask. rate: requests a second, of all. clients: threads.
    """

    def __init__(self, port: int, picture: bytes, rate: float, clients: int) -> None:
        self._port, self._picture, self._every = port, picture, clients / rate
        self._over, self._lock = threading.Event(), threading.Lock()
        self._times: list[float] = []
        self.wrong = 0
        self._threads = [threading.Thread(target=self._ask, args=(n / rate,), daemon=True) for n in range(clients)]
        for thread in self._threads:
            thread.start()

    def _ask(self, wait: float) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        due, first = time.perf_counter() + wait, None
        while not self._over.wait(max(0.0, due - time.perf_counter())):
            connection.request("POST", "/", self._picture)
            answer = connection.getresponse()
            body = answer.read()
            first = first or body
            with self._lock:
                self._times.append(1000 * (time.perf_counter() - due))
                self.wrong += answer.status != 200 or body != first
            due += self._every
        connection.close()

    def take(self) -> list[float]:
        """Return the latencies since the last call, sorted; they count from when a request was due."""
        with self._lock:
            times, self._times = self._times, []
        return sorted(times)

    def end(self) -> None:
        """Ask no more."""
        self._over.set()
        for thread in self._threads:
            thread.join()


class Processors:
    """How busy all processors of this machine have been, of which some was stolen by a hypervisor."""

    def __init__(self) -> None:
        self._before = self._read()

    def _read(self) -> tuple[int, int, int]:
        user, nice, system, idle, wait, irq, soft, stolen, *_ = map(
            int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        )
        busy = user + nice + system + irq + soft
        return busy, stolen, busy + stolen + idle + wait

    def take(self) -> tuple[float, float]:
        """Return the shares of the time since the last call that they were busy, and stolen."""
        now = self._read()
        busy, stolen, whole = (new - old for new, old in zip(now, self._before, strict=True))
        self._before = now
        return busy / whole, stolen / whole


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=float, default=400, help="requests a second")
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, onnx, file = make_files("small-32", Path(folder))
        with served(OURS, model, onnx) as port:
            ask(port, file.read_bytes())
            steady = Steady(port, file.read_bytes(), options.rate, options.clients)
            sizes, processors = [], Processors()
            for part in range(1, PARTS + 1):
                time.sleep(60 * options.minutes / PARTS)
                times, size = steady.take(), memory(port)["MiB"]
                sizes.append(size)
                done, (busy, stolen) = 60 * options.minutes * part / PARTS, processors.take()
                print(
                    f"{done:6.0f} s: {len(times):,} answers, p50 {times[len(times) // 2]:.1f} ms, "
                    f"p99 {times[len(times) * 99 // 100]:.1f} ms, {size:.1f} MiB, "
                    f"processors {busy:.0%} busy, {stolen:.0%} stolen",
                    flush=True,
                )
            steady.end()
    print(f"{steady.wrong} wrong; memory from {sizes[1]:.1f} MiB in the second part to {sizes[-1]:.1f} in the last")


if __name__ == "__main__":
    main()
