"""`neocog check DATA`: what is wrong with a data set, before time is spent on training."""

from __future__ import annotations

import click

from neocog.app.cli import datasets, options
from neocog.app.cli.errors import RunFailed
from neocog.app.cli.output import emit
from neocog.data.check import check_data


@click.command("check", cls=options.Verb)
@datasets.argument
@options.workers
@options.as_json
@options.quiet
def command(data: str, workers: int | None, as_json: bool, quiet: bool) -> None:
    """Find damaged, duplicate and suspicious images in DATA; exit with 1 if there is an error.

    Errors make training fail or lose images, warnings make its results misleading, notes are worth knowing.
    """
    splits = datasets.split(datasets.open_source(data), quiet=quiet)
    with datasets.progress_bar("checking", quiet=quiet) as progress:
        report = check_data(splits, workers=workers, progress=progress)
    emit(report.to_json() if as_json else report.to_text())
    if not report.ok:
        raise RunFailed
