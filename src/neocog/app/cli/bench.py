"""`neocog bench`: how fast this machine trains and predicts. The measuring is in `neocog.engines.bench`."""

from __future__ import annotations

import click

from neocog.app.cli import options
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.output import emit, print_json


@click.command("bench", cls=options.Verb)
@options.threads
@click.option("--quick", is_flag=True, help="Measure for seconds rather than a minute.")
@options.as_json
@options.quiet
def command(threads: int | None, quick: bool, as_json: bool, quiet: bool) -> None:
    """Measure this machine: the peak of a core, each kernel's share of it, and images per second of a network."""
    from neocog.engines.bench import run_bench  # here, since it loads the compiler, which --help need not

    def progress(what: str) -> None:
        if not quiet:
            click.echo(what, err=True)

    with told_of_compiling(quiet=quiet):
        report = run_bench(threads, quick, progress)
    if as_json:
        print_json(report.to_json())
    else:
        emit(report.to_text())
