"""The command `python -m benchmarks.serving`: requests a second of three servers on the processors of this machine.

The same network, the same JPEG bytes in, the five likeliest classes with scores out; answers are compared before
anything is measured. The servers run beside each other and take turns of some seconds under a load of so many
connections, while the others are idle; medians of the turns are printed. Nothing leaves 127.0.0.1.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import neocog as nc
from benchmarks.machine import describe, usable
from neocog.nn.zoo import photo

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120.0  # seconds until a server must answer
WITHIN = 1e-5  # that scores of two engines may differ
OURS = "neocog"


def small() -> nc.Sequential:
    """A small network for 32 × 32 pixels: what surrounds it takes longer than it does."""
    return nc.Sequential(
        nc.Conv2d(32, 3, padding=1),
        nc.ReLU(),
        nc.MaxPool2d(2),
        nc.Conv2d(64, 3, padding=1),
        nc.ReLU(),
        nc.MaxPool2d(2),
        nc.Flatten(),
        nc.Linear(128),
        nc.ReLU(),
        nc.Linear(10),
    )


NETWORKS = {"small-32": (small, 32), "photo-96": (photo, 96)}


def make_files(name: str, folder: Path) -> tuple[Path, Path, Path]:
    """Write a network as a model file and as an ONNX file, and a picture of its size as a JPEG."""
    make, side = NETWORKS[name]
    model = nc.Model(make(), (side, side, 3), class_names=[f"class {number}" for number in range(10)], seed=0)
    paths = folder / f"{name}.safetensors", folder / f"{name}.onnx", folder / f"{name}.jpg"
    model.save(paths[0])
    model.to_onnx(paths[1])
    # what a photograph is like: large forms, and noise
    stream = np.random.default_rng(0)
    coarse = Image.fromarray(stream.integers(0, 256, (6, 6, 3), np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    noisy = np.clip(np.asarray(coarse) + stream.normal(0, 8, (side, side, 3)), 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noisy).save(file, "JPEG", quality=90)
    paths[2].write_bytes(file.getvalue())
    return paths


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def command_of(side: str, port: int, model: Path, onnx: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command that starts a server, and what it needs in its environment."""
    python, count = sys.executable, usable()
    if side == OURS:
        return [python, "-m", "neocog", "serve", str(model), "--port", str(port), "--quiet"], {}
    environment = {"PEER_MODEL": str(onnx)}
    if side == "FastAPI":
        words = ["-m", "uvicorn", "benchmarks.serving.fastapi_app:app", "--port", str(port), "--workers", str(count)]
        return [python, *words, "--no-access-log", "--log-level", "error"], environment
    workers, servers = side.removeprefix("LitServe").strip().split("+") if "+" in side else ("2", "2")
    return [python, str(ROOT / "benchmarks/serving/litserve_app.py"), str(port), workers, servers], environment


@contextmanager
def served(side: str, model: Path, onnx: Path) -> Iterator[int]:
    """Run a server, and give its port once it answers."""
    port = free_port()
    command, more = command_of(side, port, model, onnx)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, **more, "PYTHONPATH": path}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{side} did not start") from None
                time.sleep(0.1)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ask(port: int, body: bytes) -> list[dict[str, Any]]:
    """Return a server's answer to a picture."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", body, {"Content-Type": "image/jpeg"})
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                found: list[dict[str, Any]] = json.load(answer)
                return found
        except OSError:  # LitServe listens before it answers
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def check_equal(answers: dict[str, list[dict[str, Any]]]) -> None:
    """Raise ValueError unless all servers say the same of a picture."""
    want = answers[OURS]
    for side, got in answers.items():
        same = [entry["label"] for entry in got] == [entry["label"] for entry in want]
        if not same or max(abs(a["score"] - b["score"]) for a, b in zip(got, want, strict=True)) > WITHIN:
            raise ValueError(f"{side} answers {got}, {OURS} {want}")


class Generator:
    """A process that makes load."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(ROOT / "benchmarks/serving/load.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def load(self, **job: Any) -> dict[str, Any]:
        """Make load as a job says, and return its figures."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the load failed")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def measure(name: str, sides: list[str], options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Return the figures of each server's turns."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        model, onnx, picture = make_files(name, Path(folder))
        generator = Generator()
        stack.callback(generator.close)
        ports = {side: stack.enter_context(served(side, model, onnx)) for side in sides}
        check_equal({side: ask(port, picture.read_bytes()) for side, port in ports.items()})
        found: dict[str, list[dict[str, Any]]] = {side: [] for side in sides}
        job = {"path": "/", "file": str(picture), "connections": options.connections}
        for side in sides:
            generator.load(**job, port=ports[side], seconds=options.warm_up)
        for turn in range(options.turns):
            for side in sides[turn % len(sides) :] + sides[: turn % len(sides)]:
                found[side].append(generator.load(**job, port=ports[side], seconds=options.seconds))
    return found


def report(name: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """Print the medians of each server's turns, and what they are of neocog's."""
    middle = statistics.median
    rates = {side: middle(turn["answers"] / turn["seconds"] for turn in turns) for side, turns in found.items()}
    print(
        f"\n| {name} | requests/s | p50 | p99 | refused | differing | load's share of a processor | neocog against it |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for side, turns in found.items():
        share = middle(turn["cpu"] / turn["seconds"] for turn in turns)
        p50, p99 = (middle(turn[key] for turn in turns) for key in ("p50", "p99"))
        refused, differing = (sum(turn[key] for turn in turns) for key in ("refused", "differing"))
        ratio = "" if side == OURS else f"{rates[OURS] / rates[side]:.2f}"
        print(
            f"| {side} | {rates[side]:,.0f} | {p50:.1f} ms | {p99:.1f} ms | {refused} | {differing} "
            f"| {100 * share:.0f} % | {ratio} |"
        )


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--sides", nargs="+", default=[OURS, "LitServe", "FastAPI"])
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--warm-up", type=float, default=1.0)
    parser.add_argument("--json", type=Path, help="write all figures there")
    options = parser.parse_args()
    every: dict[str, Any] = {"machine": describe()}
    for name in options.networks:
        every[name] = measure(name, options.sides, options)
        report(name, every[name])
    if options.json is not None:
        options.json.write_text(json.dumps(every, indent=1))


if __name__ == "__main__":
    main()
