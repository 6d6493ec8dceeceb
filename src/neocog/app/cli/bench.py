"""`neocog bench`: how fast this machine trains and predicts. The measuring is in `neocog.engines.bench`."""

from __future__ import annotations

from pathlib import Path

import click

from neocog.app.cli import models, options
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError
from neocog.app.cli.output import emit, print_json
from neocog.app.cli.verb import Verb
from neocog.engines.precision import Precision
from neocog.model.making import check_scales


@click.command("bench", cls=Verb)
@options.threads
@click.option("--quick", is_flag=True, help="Measure for a few seconds instead of a minute.")
@click.option(
    "--profile", type=options.Location(), metavar="MODEL", help="Time every stage of this model's network instead."
)
@click.option(
    "--batch-size",
    "-b",
    type=options.WholeOption(1),
    default=64,
    show_default=True,
    help="Images per batch, for --profile.",
)
@click.option(
    "--precision",
    type=options.PrecisionOption(options.PRECISIONS),
    default="auto",
    show_default=True,
    help="Measure training and predictions in bfloat16 too: auto, where the processor multiplies tiles of it (AMX). "
    "With --profile, what MODEL computes with; int8, where neocog quantise prepared it.",
)
@options.as_json
@options.quiet
def command(
    threads: int | None,
    quick: bool,
    profile: str | None,
    batch_size: int,
    precision: Precision,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure this machine: the peak speed of a core, the share of it that each kernel reaches, and images per second.

    With --profile, show where the time of a network goes, stage by stage.
    """
    if profile is not None:
        _profile(Path(profile), batch_size, precision, as_json, quiet)
        return
    if precision == "int8":
        raise CommandLineError(
            "--precision int8 is of a model that was quantised, and this measures networks of its own",
            hint="neocog bench --profile MODEL --precision int8 times one",
        )
    from neocog.engines.bench import run_bench  # here, since it loads the compiler, which --help need not

    def progress(what: str) -> None:
        if not quiet:
            click.echo(what, err=True)

    with told_of_compiling(quiet=quiet):
        report = run_bench(threads, quick, progress, precision)
    if as_json:
        print_json(report.to_json())
    else:
        emit(report.to_text())


def _profile(path: Path, batch_size: int, precision: Precision, as_json: bool, quiet: bool) -> None:
    from neocog.engines.profile import profile

    model = models.open_model(path, "native", None)
    with told_of_compiling(quiet=quiet):
        scales = check_scales(model.scales) if precision == "int8" else None
        profiles = profile(model.graph, model.parameters, batch_size, precision=precision, scales=scales)
    if as_json:
        print_json({"profiles": [found.to_json() for found in profiles]})
    else:
        emit("\n\n".join(found.to_text() for found in profiles))
