"""`python -m benchmarks.recipes.defaults FOLDER`: how accurate `neocog train` is where it decides by itself.

Each training is a process of its own. What is measured are images that did not choose anything: the test part, and the
validation part too, since the default recipe keeps its last epoch. Beside accuracy stand seconds on the clock, and CPU
seconds, which neighbours on the machine change less.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import describe


@dataclass(frozen=True, slots=True)
class Case:
    """What is trained, and on which parts it is measured.

    Arguments:
        data: folder below the one that the command is given, or the word digits.
        flags: of `neocog train`.
        seeds: how many trainings.
        parts: of the data, measured together; as `neocog evaluate --split` names them.
        wanted: accuracy that the recipe was made for.
    """

    data: str
    flags: tuple[str, ...] = ()
    seeds: int = 1
    parts: tuple[str, ...] = ("test",)
    wanted: float = 0.0

    @property
    def name(self) -> str:
        """The command's last words."""
        return " ".join((self.data, *self.flags))


CASES = (
    Case("digits", seeds=3, wanted=0.98),
    Case("clothing-small", ("--pretrained", "none"), seeds=3, parts=("val", "test"), wanted=0.81),
    Case("clothing-small", ("--pretrained", "lite0", "--head-only"), parts=("val", "test"), wanted=0.83),
    Case("clothing-small", ("--pretrained", "lite0"), parts=("val", "test"), wanted=0.87),
    Case("fashion-mnist", ("--time", "5m"), wanted=0.935),
    Case("mnist", wanted=0.995),
)


@dataclass(frozen=True, slots=True)
class Trained:
    """One training.

    Arguments:
        right, images: of the parts together.
        epochs: done.
        seconds, cpu_seconds: of the process, reading and measuring included.
    """

    seed: int
    right: int
    images: int
    epochs: int
    seconds: float
    cpu_seconds: float


def train(case: Case, root: Path, seed: int) -> Trained:
    """Train once, and measure.

    Raises:
        subprocess.CalledProcessError: a command failed.
        ValueError: validation images chose the epoch, so that they cannot be measured on.
    """
    data = case.data if case.data == "digits" else str(root / case.data)
    with tempfile.TemporaryDirectory() as temporary:
        run = Path(temporary) / "run"
        began, used = time.perf_counter(), _children()
        told = _neocog("train", data, *case.flags, "--seed", str(seed), "--quiet", "-o", str(run))
        seconds, cpu_seconds = time.perf_counter() - began, _children() - used
        kept = json.loads((run / "config.json").read_text())["keep"]
        if kept != "last" and "val" in case.parts:
            raise ValueError(f"{case.name} keeps the {kept} epoch, which validation images chose")
        measured = [_neocog("evaluate", str(run), data, "--split", part) for part in case.parts]
    images = [each["images"] for each in measured]
    right = sum(round(each["accuracy"] * count) for each, count in zip(measured, images, strict=True))
    return Trained(seed, right, sum(images), told["epochs"], seconds, cpu_seconds)


def _neocog(*words: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "neocog", *words, "--json"], stdout=subprocess.PIPE, check=True)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def row(case: Case, found: Sequence[Trained]) -> str:
    """Return a line of the table: the mean over seeds, and the standard error of a share of so many images."""
    shares = [each.right / each.images for each in found]
    mean = sum(shares) / len(shares)
    error = math.sqrt(mean * (1 - mean) / found[0].images)
    seeds = ", ".join(f"{100 * share:.2f}" for share in shares)
    seconds, cpu_seconds = (sum(v) / len(found) for v in ([e.seconds for e in found], [e.cpu_seconds for e in found]))
    epochs = ", ".join(str(each.epochs) for each in found)
    return (
        f"| `{case.name}` | {100 * mean:.2f} ± {100 * error:.2f} % of {found[0].images:,} | {seeds} | "
        f"{100 * case.wanted:g} % | {epochs} | {seconds:.0f} | {cpu_seconds:.0f} |"
    )


HEAD = (
    "| `neocog train` | accuracy | by seed | wanted | epochs | seconds | CPU seconds |",
    "|---|---|---|---|---|---|---|",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the folders of the data sets lie")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="data sets; default: all")
    parser.add_argument("--seeds", type=int, help="trainings of each; default: three of the small ones, else one")
    parser.add_argument("--flags", default="", help="more flags of neocog train, as one text")
    given = parser.parse_args(arguments)
    print(json.dumps(describe(), indent=2), *HEAD, sep="\n", flush=True)
    for case in _chosen(given.only):
        flags = (*case.flags, *given.flags.split())
        full = Case(case.data, flags, given.seeds or case.seeds, case.parts, case.wanted)
        print(row(full, [train(full, given.folder, seed) for seed in range(full.seeds)]), flush=True)
    return 0


def _chosen(names: Iterable[str] | None) -> list[Case]:
    return [case for case in CASES if names is None or case.data in names]


if __name__ == "__main__":
    sys.exit(main())
