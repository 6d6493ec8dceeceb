"""Tiny images whose class any network can tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = {"bright": 200, "dark": 40}  # class → mean grey value; any network tells them apart
PER_CLASS = 12
SIDE = 16


def write_image(path: Path, value: int, seed: int = 0, side: int = SIDE) -> Path:
    """Write a noisy RGB image around one grey value."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(-30, 30, (side, side, 3))
    Image.fromarray((value + noise).astype(np.uint8)).save(path)
    return path


def write_photos(root: Path, per_class: int = PER_CLASS, first: int = 0) -> Path:
    """Write a folder with one folder of images a class."""
    for name, value in CLASSES.items():
        for number in range(first, first + per_class):
            write_image(root / name / f"{number}.png", value, seed=1000 * value + number)
    return root
