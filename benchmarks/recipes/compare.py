"""`python -m benchmarks.recipes.compare DATA...`: the default recipe from scratch and its peers, in equal CPU seconds.

Each training is a process of its own with one thread, so that no CPU second is spent on waiting for others. Reading and
decoding are counted for nobody.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.recipes.parts import read_parts

SIDES = ("neocog", "resnet9", "fastai", "keras", "timm")
SECONDS = 300.0


def measure(side: str, location: Path, seconds: float, seed: int, threads: int) -> dict[str, object]:
    """Train one side in this process."""
    parts = read_parts(location)
    if side == "neocog":
        from benchmarks.recipes import ours

        return ours.train(location, parts, seconds, seed, threads)
    import torch

    from benchmarks.recipes import loop
    from benchmarks.recipes.peers import PEERS

    torch.set_num_threads(threads)
    return loop.train(PEERS[side], parts, seconds, seed)


def in_a_process(side: str, location: Path, given: argparse.Namespace, seed: int) -> dict[str, object]:
    """Train one side in a process of its own."""
    words = [sys.executable, "-m", __spec__.name, str(location), "--one", side, "--seeds", str(seed)]
    words += ["--seconds", str(given.seconds), "--threads", str(given.threads)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(given.threads), "NEOCOG_THREADS": str(given.threads)}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def row(name: str, side: str, found: Sequence[dict[str, object]]) -> str:
    """Return a line of the report: the mean accuracy over seeds, and its standard error."""
    shares = [float(str(each["accuracy"])) for each in found]
    mean = sum(shares) / len(shares)
    images = int(str(found[0]["images"]))
    error = math.sqrt(mean * (1 - mean) / images)
    epochs = ", ".join(str(each["epochs"]) for each in found)
    kind = found[0].get("precision", "float32")
    return f"| {name} | {side} | {100 * mean:.2f} ± {100 * error:.2f} | {len(found)} | {epochs} | {kind} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+", help="folders of images, IDX or CIFAR-10 files")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="CPU seconds of a training (default: 300)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for all figures")
    parser.add_argument("--one", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.one is not None:
        print(json.dumps(measure(given.one, given.data[0], given.seconds, given.seeds[0], given.threads)))
        return 0
    print("| data | recipe | accuracy, % | seeds | epochs | precision |\n|---|---|---|---|---|---|")
    figures = []
    for location in given.data:
        for side in given.sides:
            found = [in_a_process(side, location, given, seed) for seed in given.seeds]
            figures += [{"data": location.name, "recipe": side, **each} for each in found]
            print(row(location.name, side, found), flush=True)
            if given.json is not None:
                given.json.write_text(json.dumps({**describe(), "figures": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
