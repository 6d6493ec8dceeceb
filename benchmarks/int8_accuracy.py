"""What int8 costs models in accuracy: the table of docs/int8.md.

    python -m benchmarks.int8_accuracy MODEL DATA [MODEL DATA ...]

Each MODEL is a model file that was trained on DATA. It is prepared by what `neocog quantise` calls, with the images
that this chooses, whatever is lost; then the answers to the same images are compared one by one.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import neocog as nc
from neocog.app.cli.quantise import material_of
from neocog.train.quantise import ENOUGH, quantise

BATCH = 64


def row(path: str, data: str) -> tuple[str, ...]:
    """Return what is measured of one model."""
    model = nc.load(path)
    material = material_of(model, Path(path), data, ENOUGH, BATCH, None, quiet=True)
    found = quantise(model, material.shown(model), material.measured, max_drop=100)
    answers: list[np.ndarray] = []
    for precision in ("float32", "int8"):
        model.precision = precision
        answers.append(np.concatenate([model.logits(images) for images, _ in material.measured()]))
    plain, rounded = answers
    agree = float((plain.argmax(axis=1) == rounded.argmax(axis=1)).mean())
    error = float(np.sqrt(np.square(rounded - plain).mean()) / plain.std())
    return (
        path,
        f"{found.images:,} {material.kind}",
        f"{100 * found.float32:.2f} %",
        f"{100 * found.int8:.2f} %",
        f"{found.drop:.2f}",
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
