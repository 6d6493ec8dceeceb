"""What int8 costs models in accuracy: the table of docs/int8.md.

    python -m benchmarks.int8_accuracy MODEL DATA [MODEL DATA ...]

Each MODEL is a model file that was trained on DATA, as `neocog train` splits it: scales come from 300 of its training
images, and all validation and test images are answered in float32 and in int8.
"""

from __future__ import annotations

import sys

import numpy as np

import neocog as nc
from neocog.app.cli import datasets
from neocog.data.dataset import Dataset
from neocog.data.resize import ImageSize
from neocog.model.ranges import find_scales
from neocog.train.quantise import ENOUGH


def images_of(model: nc.Model, part: Dataset, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of a part, or as many spread over it, and their labels."""
    chosen = np.unique(np.linspace(0, len(part) - 1, min(most or len(part), len(part))).astype(np.int64))
    images, _ = part.read(chosen, ImageSize(*model.input_shape), model.resize)
    return images, part.labels[chosen]


def row(path: str, data: str) -> tuple[str, ...]:
    """Return what is measured of one model."""
    model = nc.load(path)
    splits = datasets.split(datasets.open_source(data), quiet=True)
    model.scales = find_scales(model, [images_of(model, splits.train, ENOUGH)[0]])
    answers: dict[str, list[np.ndarray]] = {"float32": [], "int8": []}
    truth = []
    for part in (splits.validation, splits.test):
        if part is None:
            continue
        images, labels = images_of(model, part)
        truth.append(labels)
        for precision in ("float32", "int8"):
            model.precision = precision
            answers[precision].append(model.logits(images))
    plain, rounded = (np.concatenate(answers[precision]) for precision in ("float32", "int8"))
    right = np.concatenate(truth)
    before, after = (float((logits.argmax(axis=1) == right).mean()) for logits in (plain, rounded))
    agree = float((plain.argmax(axis=1) == rounded.argmax(axis=1)).mean())
    error = float(np.sqrt(np.square(rounded - plain).mean()) / plain.std())
    shares = (f"{100 * share:.2f} %" for share in (before, after))
    return (
        path,
        f"{len(right):,}",
        *shares,
        f"{100 * (before - after):.2f}",
        f"{100 * agree:.1f} %",
        f"{100 * error:.1f} %",
    )


def main(words: list[str]) -> None:
    """Print a row for each model."""
    if not words or len(words) % 2:
        raise SystemExit(__doc__)
    print("| network | images | float32 | int8 | lost | same answer | error of logits |")
    print("|---|---|---|---|---|---|---|")
    for path, data in zip(words[::2], words[1::2], strict=True):
        print(f"| {' | '.join(row(path, data))} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
