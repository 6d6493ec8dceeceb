"""A server in processes of its own, as a user starts it, with two models; and pictures to ask it about."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

import neocog as nc

LIMIT = 120.0  # seconds; nothing here takes as long
NAMES = ("cat", "dog", "café", "a|b", "\u732b")
LABELS = ("red", "green", "blue")


def network(classes: int) -> nc.Sequential:
    """A small network."""
    return nc.Sequential(nc.Conv2d(8, 3), nc.ReLU(), nc.MaxPool2d(2), nc.Flatten(), nc.Linear(classes))


def picture(seed: int, side: tuple[int, int] = (20, 30), kind: str = "JPEG") -> bytes:
    """Return the bytes of a picture's file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def make_models(folder: Path) -> tuple[Path, Path]:
    """Write a calibrated model that withholds what is uncertain, and one for several labels, as an ONNX file is."""
    one = nc.Model(network(len(NAMES)), (12, 14, 3), class_names=NAMES, seed=1)
    stream = np.random.default_rng(0)
    images = stream.integers(0, 256, (60, 12, 14, 3), np.uint8)
    one.calibrate(images, one.predict(images) * (stream.random(60) < 0.7))
    files = [picture(seed) for seed in range(12)]
    one.reject_below = float(np.median(one.predict_proba(files).max(axis=1)))  # half of them are unknown
    one.save(folder / "pets.safetensors")
    several = nc.Model(network(len(LABELS)), (12, 14, 3), class_names=LABELS, seed=2, loss=nc.BinaryCrossEntropy())
    several.thresholds = (0.4, 0.5, 0.6)
    several.save(folder / "colours.safetensors")
    return folder / "pets.safetensors", folder / "colours.safetensors"


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    address: str
    process: subprocess.Popen[str]
    models: tuple[Path, ...]
    log: Path

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.address.rpartition(":")[2])


@contextmanager
def serve(models: tuple[Path, ...], log: Path, *flags: str) -> Iterator[Served]:
    """Run a server until the end of the block."""
    words = [
        sys.executable,
        "-m",
        "neocog",
        "serve",
        *map(str, models),
        "--port",
        "0",
        "--access-log",
        str(log),
        *flags,
    ]
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        try:
            assert address, process.communicate(timeout=LIMIT)[1]
            yield Served(address, process, models, log)
        finally:
            process.terminate()
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two model files, not to be written to."""
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def running(models: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that all tests ask, and none ends."""
    flags = ("--workers", "2", "--threads", "1", "--max-pixels", "1000000", "--max-body-mib", "2")
    with serve(models, tmp_path_factory.mktemp("served") / "access.log", *flags) as server:
        yield server


@pytest.fixture(scope="session")
def client(running: Served) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=running.address, timeout=LIMIT) as made:
        yield made


@pytest.fixture
def start(models: tuple[Path, Path], tmp_path: Path) -> Callable[..., AbstractContextManager[Served]]:
    """Start a server of one's own, with a copy of the first model."""

    def begin(*flags: str) -> AbstractContextManager[Served]:
        own = tmp_path / models[0].name
        shutil.copy(models[0], own)
        return serve((own,), tmp_path / "access.log", *flags)

    return begin
