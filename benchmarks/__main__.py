"""The command `python -m benchmarks`: measure, then print and write the report."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import before, memory, scaling, speed, startup
from benchmarks.figures import ROUNDED, Row
from benchmarks.machine import describe
from benchmarks.options import Options, parse
from benchmarks.process import JobError, say
from benchmarks.report import Report, check_same, ratio, to_markdown
from benchmarks.rounds import DisagreementError


def measure(options: Options) -> tuple[list[Row], dict[str, str]]:
    """Measure what is asked for; what fails does not stop the rest, and is named."""
    rows: list[Row] = []
    failed: dict[str, str] = {}

    def fail(what: str, error: Exception) -> None:
        failed[what] = str(error)
        say(f"  FAILED: {error}")

    def keep(row: Row) -> None:
        rows.append(row)
        medians = ", ".join(f"{name} {figure.median:.4g} {row.unit}" for name, figure in row.figures.items())
        say(f"  {row.case}: {medians}; ratio {ratio(row)}")

    wanted = list(speed.jobs(options))
    for position, job in enumerate(wanted, 1):
        say(f"[{position}/{len(wanted)}] {job.title}")
        try:
            keep(job.measure(options.rounds))
        except JobError as error:
            fail(job.title, error)
    others: dict[str, Callable[[Options], Iterator[Row]]] = {
        "memory": memory.measure,
        "startup": startup.measure,
        "scaling": scaling.measure,
        "before": before.measure,
    }
    for name, measurement in others.items():
        if name not in options.only:
            continue
        say(f"[{name}]")
        try:
            for row in measurement(options):
                keep(row)
        except (JobError, RuntimeError, DisagreementError) as error:
            fail(name, error)
    return rows, failed


def _own_precisions() -> dict[str, str]:
    """Say what the side computes in that chooses for itself, if it is installed."""
    try:
        from benchmarks.sides.openvino import own_precision
    except ImportError:
        return {}
    return {ROUNDED: own_precision()}


def _earlier(file: Path, facts: Mapping[str, str]) -> dict[str, Any]:
    """Return what an earlier run wrote, before anything is measured that it does not suit.

    Raises:
        SystemExit: it cannot be read, or its figures do not belong beside those of this run.
    """
    try:
        before: dict[str, Any] = json.loads(file.read_text())
        check_same(facts, before)
    except (OSError, ValueError) as error:
        raise SystemExit(f"--earlier {file}: {error}") from None
    return before


def main() -> int:
    """Run the command."""
    options = parse()
    facts = describe() | _own_precisions()
    before = _earlier(options.earlier, facts) if options.earlier else None
    rows, failed = measure(options)
    report = Report(f"python -m benchmarks {shlex.join(sys.argv[1:])}".strip(), facts, rows, failed)
    if before is not None:
        report = report.joined(before)
    text = to_markdown(report)
    print(text, end="")
    if options.write:
        options.write.write_text(text)
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=2) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
