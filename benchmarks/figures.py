"""What was measured: a row of a table, one figure for each side, and the arithmetic on them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OURS = "neocog"
ROUNDED = "OpenVINO as it comes"
"""A side that may round to fewer bits than float32 has, where the processor can: shown, but no peer."""
HALF = ("neocog bfloat16", "PyTorch autocast", "torch.compile autocast")
"""Sides that round to bfloat16: shown where the processor multiplies tiles of it (AMX), but no peers of float32."""
NO_PEERS = (OURS, ROUNDED, *HALF)


@dataclass(frozen=True, slots=True)
class Figure:
    """The median of several measurements, between their quartiles."""

    median: float
    low: float
    high: float


def summarise(values: Sequence[float]) -> Figure:
    """Return median and quartiles.

    >>> summarise([4.0, 1.0, 2.0, 3.0, 5.0])
    Figure(median=3.0, low=2.0, high=4.0)
    """
    if len(values) == 1:
        return Figure(values[0], values[0], values[0])
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return Figure(statistics.median(values), low, high)


def thread_count(threads: int) -> str:
    """Write a number of threads."""
    return f"{threads} thread{'' if threads == 1 else 's'}"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing measured on all sides; less is better.

    Arguments:
        measurement: the table that it belongs to.
        case: what was measured, such as "article, batch 64".
        threads: threads of every side.
        unit: of all figures.
        figures: name of a side → figure.
        skipped: name of a side → why there is no figure.
    """

    measurement: str
    case: str
    threads: int
    unit: str
    figures: Mapping[str, Figure]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def best_peer(self) -> str | None:
        """Name of the peer with the least median, among those that compute in float32; None where there is no peer."""
        peers = [name for name in self.figures if name not in NO_PEERS]
        return min(peers, key=lambda name: self.figures[name].median, default=None)

    @property
    def ratio(self) -> float | None:
        """How many times neocog's median goes into the best peer's: below 1, neocog loses."""
        if self.best_peer is None or OURS not in self.figures:
            return None
        return self.figures[self.best_peer].median / self.figures[OURS].median

    @property
    def half_ratio(self) -> float | None:
        """The same for neocog in bfloat16, beside the best of all peers, whether they round or not."""
        theirs = [figure.median for name, figure in self.figures.items() if name not in (OURS, HALF[0])]
        return min(theirs) / self.figures[HALF[0]].median if theirs and HALF[0] in self.figures else None

    @property
    def rounded_ratio(self) -> float | None:
        """How many times neocog's median goes into that of the side that may round though nobody asked for it."""
        if ROUNDED not in self.figures or OURS not in self.figures:
            return None
        return self.figures[ROUNDED].median / self.figures[OURS].median

    def as_json(self) -> dict[str, object]:
        """Return the row as JSON values."""
        return {
            "measurement": self.measurement,
            "case": self.case,
            "threads": self.threads,
            "unit": self.unit,
            "figures": {n: {"median": f.median, "quartiles": [f.low, f.high]} for n, f in self.figures.items()},
            "best_peer": self.best_peer,
            "ratio": self.ratio,
            "bfloat16_ratio": self.half_ratio,
            "skipped": dict(self.skipped),
        }


def row_of(values: Mapping[str, Any]) -> Row:
    """Return the row that `Row.as_json` wrote."""
    figures = {name: Figure(found["median"], *found["quartiles"]) for name, found in values["figures"].items()}
    kept = {name: values[name] for name in ("measurement", "case", "threads", "unit", "skipped")}
    return Row(figures=figures, **kept)


def lost(rows: Iterable[Row]) -> list[Row]:
    """Return the rows that neocog loses, the worst first. The unrounded ratio decides."""
    losses = [(row.ratio, row) for row in rows if row.ratio is not None and row.ratio < 1]
    return [row for _, row in sorted(losses, key=lambda pair: pair[0])]
