"""The figures as a page in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import geometric_mean
from typing import Any

from benchmarks.figures import NO_PEERS, OURS, ROUNDED, Figure, Row, lost, row_of, thread_count
from benchmarks.networks import NETWORKS

NO_VERSIONS = ("date", "processor", "system", "load", "neocog", ROUNDED)
CHANGING = ("date", "load", "neocog")  # between runs whose rows may share a page
METHOD = """\
Less is better everywhere. Figures are medians, with the quartiles in brackets. A ratio is the best peer's median
divided by neocog's: above 1× neocog wins, below it loses. Times are taken in one process for each network and number of
threads, in rounds that alternate between the sides, after every side has proved on its first calls that it computes
the same losses or logits to 1e-4. Every side gets the same inputs in the layout that it likes best, float32, the same
number of threads, and as many processors as threads. Training and prediction run with glibc's malloc tuned to keep its
memory, which makes PyTorch faster, unless a case says otherwise; memory, start-up and growing data sets run as users
find them. OpenVINO predicts in float32, and once more as it comes: then it may round to bfloat16, where the processor
has instructions for that, is held to the same logits less closely, and is no peer in a ratio. Sides called bfloat16 or
autocast round factors to bfloat16, train or predict, and stand beside the others likewise; their own ratio is that of
the best of PyTorch's, by autocast, and of OpenVINO as it comes to neocog in bfloat16."""


@dataclass(frozen=True, slots=True)
class Report:
    """A run of the benchmarks.

    Arguments:
        command: what was typed.
        facts: date, machine and versions, by name.
        rows: what was measured.
        failed: measurement and case → why there are no figures.
        earlier: the runs that gave the rows which this one did not measure, the latest first, if there are any.
    """

    command: str
    facts: Mapping[str, str]
    rows: Sequence[Row]
    failed: Mapping[str, str]
    earlier: Sequence[str] = ()

    def joined(self, before: Mapping[str, Any]) -> Report:
        """Return this report with what it lacks from an earlier one, in the earlier one's order.

        Arguments:
            before: what `as_json` of the earlier one gave.

        Raises:
            ValueError: that was another machine, or another version of something.
        """
        check_same(self.facts, before)
        mine = {_key(row): row for row in self.rows}
        rows = [mine.pop(_key(row), row) for row in map(row_of, before["rows"])]
        return replace(
            self,
            rows=[*rows, *mine.values()],
            earlier=[
                f"`{before['command']}` (commit {before['neocog']}, {before['date']})",
                *before.get("earlier", ()),
            ],
        )

    def as_json(self) -> dict[str, object]:
        """Return the report as JSON values."""
        return {
            "command": self.command,
            **self.facts,
            "rows": [row.as_json() for row in self.rows],
            "failed": dict(self.failed),
            **({"earlier": list(self.earlier)} if self.earlier else {}),
        }


def check_same(facts: Mapping[str, str], before: Mapping[str, Any]) -> None:
    """Check that figures of two runs may share a page.

    Raises:
        ValueError: the earlier one was on another machine, or with another version of something.
    """
    for name, value in facts.items():
        if name not in CHANGING and before.get(name) != value:
            raise ValueError(f"the earlier run had {name} {before.get(name)}, this one has {value}")


def number(value: float) -> str:
    """Write a figure with three digits.

    >>> [number(value) for value in (0.01234, 1.5, 12.34, 1234.5)]
    ['0.0123', '1.50', '12.3', '1,234']
    """
    if value >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 0.9995 else f"{value:.3g}"


def ratio(row: Row) -> str:
    """Write a row's ratio, or a dash. A loss never rounds to a draw."""
    if row.ratio is None:
        return "–"
    text = f"{row.ratio:.2f}"
    return "0.99×" if row.ratio < 1 and text == "1.00" else f"{text}×"


def to_markdown(report: Report) -> str:
    """Write the page."""
    parts = ["# Benchmarks", "Written by the command below; do not edit by hand.", _facts(report), METHOD]
    names = {row.case.split(",")[0] for row in report.rows}
    parts.append("\n".join(f"- **{n.name}**: {n.about}" for n in NETWORKS.values() if n.name in names))
    parts += ["## Where neocog loses", _losses(report.rows), _ahead(report.rows, report.facts.get(ROUNDED, ""))]
    for measurement in dict.fromkeys(row.measurement for row in report.rows):
        rows = [row for row in report.rows if row.measurement == measurement]
        parts += [f"## {measurement[0].upper()}{measurement[1:]}, {rows[0].unit}", _table(rows), _mean(rows)]
    parts += _section("Skipped", {f"{name}": why for row in report.rows for name, why in _skips(row)})
    parts += _section("Not measured", report.failed)
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(report: Report) -> str:
    facts = dict(report.facts)
    versions = [f"{name} {facts[name]}" for name in facts if name not in NO_VERSIONS]
    lines = [
        f"- date: {facts.get('date', 'unknown')}",
        f"- machine: {facts.get('processor', 'unknown')}; {facts.get('system', '')}",
        f"- load average before: {facts.get('load', 'unknown')}, of which neocog and its peers are no part",
        f"- versions: {', '.join(versions)}",
        f"- neocog: commit {facts.get('neocog', 'unknown')}",
        f"- command: `{report.command}`",
        *(
            [f"- rows that this did not measure, earlier on this machine: {', '.join(report.earlier)}"]
            if report.earlier
            else []
        ),
        *([f"- {ROUNDED} computes in {facts[ROUNDED]} on this processor"] if ROUNDED in facts else []),
    ]
    return "\n".join(lines)


def _losses(rows: Sequence[Row]) -> str:
    compared = [row for row in rows if row.ratio is not None]
    losses = lost(compared)
    if not compared:
        return "Nothing was compared in this run."
    if not losses:
        return f"In none of the {len(compared)} comparisons of this run."
    lines = [f"In {len(losses)} of {len(compared)} comparisons, the worst first:", ""]
    for row in losses:
        peer = row.best_peer or ""
        ours, theirs = number(row.figures[OURS].median), number(row.figures[peer].median)
        what = f"{row.measurement}, {row.case}, {thread_count(row.threads)}"
        lines.append(f"- {ratio(row)} {what}: neocog {ours} {row.unit}, {peer} {theirs} {row.unit}")
    return "\n".join(lines)


def _ahead(rows: Sequence[Row], precision: str) -> str:
    """Say how neocog's float32 stands beside a side that rounds though nobody asked for it, if there is one."""
    ratios = [row.rounded_ratio for row in rows if row.rounded_ratio is not None]
    if not ratios or precision in ("", "float32"):
        return ""
    behind = [ratio for ratio in ratios if ratio < 1]
    text = f"{ROUNDED} computes in {precision} here, and is no peer of float32: neocog in float32 is slower than it in"
    return f"{text} {len(behind)} of {len(ratios)} predictions, {min(ratios):.2f}× to {max(ratios):.2f}× as fast."


def _key(row: Row) -> tuple[str, str, int]:
    return row.measurement, row.case, row.threads


def _table(rows: Sequence[Row]) -> str:
    sides = list(dict.fromkeys(name for row in rows for name in row.figures))
    peers = [name for name in sides if name not in NO_PEERS]
    half = any(row.half_ratio is not None for row in rows)
    ends = [*(["best peer", "ratio"] if peers else []), *(["ratio in bfloat16"] if half else [])]
    head = ["case", "threads", *sides, *ends]
    rules = [*(["---", "--:"] if peers else []), *(["--:"] if half else [])]
    lines = [_line(head), _line(["---", "--:", *["--:"] * len(sides), *rules])]
    for row in rows:
        cells = [_figure(row.figures.get(name)) for name in sides]
        end = [row.best_peer or "–", ratio(row)] if peers else []
        end += [f"{row.half_ratio:.2f}×" if row.half_ratio is not None else "–"] if half else []
        lines.append(_line([row.case, str(row.threads), *cells, *end]))
    return "\n".join(lines)


def _mean(rows: Sequence[Row]) -> str:
    ratios = [row.ratio for row in rows if row.ratio is not None]
    return f"Geometric mean of the ratios: {geometric_mean(ratios):.2f}×." if len(ratios) > 1 else ""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    if figure.low == figure.high:
        return number(figure.median)
    return f"{number(figure.median)} ({number(figure.low)}–{number(figure.high)})"


def _skips(row: Row) -> list[tuple[str, str]]:
    return [
        (name if "not installed" in why else f"{name}: {row.measurement}, {row.case}, {thread_count(row.threads)}", why)
        for name, why in row.skipped.items()
    ]


def _section(title: str, entries: Mapping[str, str]) -> list[str]:
    return [f"## {title}", "\n".join(f"- {what}: {why}" for what, why in entries.items())] if entries else []
