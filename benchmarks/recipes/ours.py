"""neocog's default recipe for the same CPU seconds: `neocog train DATA --time S`, by a clock of CPU seconds."""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from benchmarks.recipes.budget import cpu_seconds
from benchmarks.recipes.parts import CIFAR_HELD_OUT, Parts

CIFAR_FILES = "data_batch_{}.bin"


def train(location: Path, parts: Parts, seconds: float, seed: int, threads: int) -> dict[str, object]:
    """Train from scratch as the command line does, with no other flag but the time, and measure on the held-out images.

    Arguments:
        location: of the data.
        parts: the same, read.
    """
    import neocog as nc
    from neocog.app.cli.main import main
    from neocog.train import clock

    vars(clock)["time"] = SimpleNamespace(perf_counter=cpu_seconds)
    with tempfile.TemporaryDirectory() as temporary:
        data, run = as_held_out(location, Path(temporary)), Path(temporary) / "run"
        words = ["train", str(data), "--pretrained", "none", "--time", f"{seconds}s"]
        words += ["--seed", str(seed), "--threads", str(threads)]
        began = cpu_seconds()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
            main([*words, "--output", str(run), "--quiet"])
        spent = cpu_seconds() - began
        model = nc.load(run / "model.safetensors", threads=threads)
    right = int((model.predict(sized(parts.held_out, model.input_shape)) == parts.held_out_labels).sum())
    return {
        "accuracy": right / len(parts.held_out_labels),
        "images": len(parts.held_out_labels),
        "epochs": model.metrics.get("epoch"),
        "CPU seconds": round(spent, 1),
    }


def as_held_out(location: Path, folder: Path) -> Path:
    """Return a folder in which what is held out is the test part: of CIFAR-10, the last file of training images."""
    if not (location / CIFAR_FILES.format(1)).exists():
        return location
    made = folder / "cifar-10"
    made.mkdir()
    for number in range(1, CIFAR_HELD_OUT + 1):
        name = "test_batch.bin" if number == CIFAR_HELD_OUT else CIFAR_FILES.format(number)
        (made / name).symlink_to((location / CIFAR_FILES.format(number)).absolute())
    return made


def sized(images: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Return images of the size that a model takes, resized as it would."""
    from neocog.data.resize import ImageSize, resize_array

    size = ImageSize(*shape)
    return images if images.shape[1:] == shape else np.stack([resize_array(image, size, "stretch") for image in images])
