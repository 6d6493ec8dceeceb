"""`python -m benchmarks.recipes.precision DATA…`: what bfloat16 costs in accuracy, on the article's network, by seeds.

Both sides learn from the same images in the same order, from the same first weights, and each answers with what it was
trained in. One thread each; time does not matter.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

import neocog as nc
from benchmarks.machine import describe
from benchmarks.recipes.parts import Parts, read_parts
from neocog.nn.zoo import article

SIDES: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class Learnt:
    """How good a training was, on the images held out. Accuracies are in percent."""

    seed: int
    precision: str
    accuracy: float
    loss: float


def train(parts: Parts, precision: Literal["float32", "bfloat16"], seed: int, images: int, epochs: int) -> Learnt:
    """Train once, on the first so many images."""
    shape = parts.images.shape[1:]
    model = nc.Model(
        article(len(parts.class_names)),
        (shape[0], shape[1], shape[2]),
        parts.class_names,
        seed=seed,
        mean=parts.mean,
        std=parts.std,
        threads=1,
        precision=precision,
    )
    model.fit(
        parts.images[:images],
        parts.labels[:images],
        epochs=epochs,
        optimizer=nc.SGD(0.02, momentum=0.9),
        verbose=0,
    )
    found = model.evaluate(parts.held_out, parts.held_out_labels)
    return Learnt(seed, precision, 100 * found.accuracy, found.loss)


def difference(found: Sequence[Learnt], of: Literal["accuracy", "loss"]) -> tuple[float, float]:
    """Return how much larger a figure is in bfloat16, the mean over seeds, and its standard error."""
    by_side = {side: {one.seed: getattr(one, of) for one in found if one.precision == side} for side in SIDES}
    differences = [by_side["bfloat16"][seed] - by_side["float32"][seed] for seed in by_side["float32"]]
    spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else math.nan
    return float(np.mean(differences)), spread / math.sqrt(len(differences))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and print a table for each data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="+", type=Path, help="Data sets with a part that is held out.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=20_000, help="Training images that are learnt from.")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--json", type=Path, help="Also write the figures there.")
    options = parser.parse_args(arguments)
    print(describe())
    written = []
    for location in options.data:
        parts = read_parts(location)
        found = []
        for seed in range(options.seeds):
            for precision in SIDES:
                found.append(train(parts, precision, seed, options.images, options.epochs))
                one = found[-1]
                print(f"{parts.name} seed {seed} {precision}: {one.accuracy:.2f} %, loss {one.loss:.4f}", flush=True)
        for name, unit in (("accuracy", " points"), ("loss", "")):
            mean, error = difference(found, "accuracy" if name == "accuracy" else "loss")
            print(
                f"{parts.name}: {name} in bfloat16 {mean:+.4f} ± {error:.4f}{unit}, {options.seeds} seeds", flush=True
            )
        written.append({"data": parts.name, "found": [asdict(one) for one in found]})
    if options.json is not None:
        options.json.write_text(json.dumps({"machine": describe(), "data": written}, indent=2))


if __name__ == "__main__":
    main()
