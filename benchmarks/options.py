"""What the command was asked to measure."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.machine import choose_processors, usable
from benchmarks.networks import NETWORKS

MEASUREMENTS = ("training", "inference", "latency", "memory", "startup", "scaling", "narrow", "before")
ROUNDS, QUICK_ROUNDS = 20, 3


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure, and how long.

    Arguments:
        networks: names, of `benchmarks.networks.NETWORKS`.
        threads: numbers of threads.
        rounds: how often each side has its turn.
        only: names of measurements.
        quick: a first look: few rounds, small data sets.
        bfloat16: whether sides in bfloat16 are measured on processors too that multiply no tiles of it.
        before: a commit that neocog is compared with too.
        earlier: the figures of an earlier run, for rows that this one does not measure.
        json, write: files for the figures and for the report in Markdown.
    """

    networks: tuple[str, ...] = tuple(NETWORKS)
    threads: tuple[int, ...] = (1,)
    rounds: int = ROUNDS
    only: tuple[str, ...] = MEASUREMENTS
    quick: bool = False
    bfloat16: bool = False
    before: str | None = None
    earlier: Path | None = None
    json: Path | None = None
    write: Path | None = None


def _names(known: Sequence[str]) -> str:
    return f"separated by commas or spaces; known: {', '.join(known)}"


def _split(parser: argparse.ArgumentParser, option: str, words: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    names = [name for word in words for name in word.split(",") if name]
    for name in names:
        if name not in known:
            parser.error(f"{option}: {name!r} is unknown; known: {', '.join(known)}")
    return tuple(name for name in known if name in names)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure neocog against its peers.")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), help=_names(list(NETWORKS)))
    parser.add_argument("--threads", type=int, nargs="+", help="numbers of threads (default: 1, and all processors)")
    parser.add_argument("--rounds", type=int, help=f"turns of each side (default: {ROUNDS}; {QUICK_ROUNDS} if quick)")
    parser.add_argument("--only", nargs="+", default=list(MEASUREMENTS), help=_names(MEASUREMENTS))
    parser.add_argument("--quick", action="store_true", help="few rounds, for a first look")
    parser.add_argument(
        "--bfloat16", action="store_true", help="measure sides in bfloat16 without AMX too, where neocog's is slow"
    )
    parser.add_argument("--before", metavar="COMMIT", help="compare with neocog as it was at this commit")
    parser.add_argument(
        "--earlier",
        type=Path,
        metavar="FILE",
        help="add what is not measured now from the --json FILE of a run before",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to this file")
    parser.add_argument(
        "--write", type=Path, metavar="FILE", help="write the report to this file, such as BENCHMARKS.md"
    )
    given = parser.parse_args(arguments)
    rounds = given.rounds if given.rounds is not None else QUICK_ROUNDS if given.quick else ROUNDS
    if rounds < 2:
        parser.error(f"--rounds must be at least 2, for quartiles, got {rounds}")
    threads = tuple(dict.fromkeys(given.threads or (1, usable())))
    for count in threads:
        choose_processors(count)  # refuses more than there are before anything is measured
    return Options(
        networks=_split(parser, "--networks", given.networks, list(NETWORKS)),
        threads=threads,
        rounds=rounds,
        only=_split(parser, "--only", given.only, MEASUREMENTS),
        quick=given.quick,
        bfloat16=given.bfloat16,
        before=given.before,
        earlier=given.earlier,
        json=given.json,
        write=given.write,
    )
