"""`neocog push RUN OWNER/NAME`: a trained model to a hub, with a model card that says what it is."""

from __future__ import annotations

from pathlib import Path

import click

from neocog.app.cli import datasets, models, options
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError, note
from neocog.app.cli.output import emit, print_json
from neocog.app.cli.report import measure
from neocog.app.cli.verb import Verb
from neocog.app.report.read import read_run
from neocog.engines.precision import Precision, settled
from neocog.errors import DataError, NeocogError
from neocog.interop.hub.card import Figures
from neocog.interop.hub.client import CARD, library
from neocog.interop.hub.push import files_of, push
from neocog.interop.hub.repository import Repository, names_a_hub
from neocog.model.network import Network
from neocog.text import printable
from neocog.train.labels import LabelsEvaluation
from neocog.train.runfolder import RunFolder

CAUTIONS = {
    "validation": "these images chose the epoch, or labels' thresholds, so that new ones will be recognised less often",
    "train": "it was trained on these images, so that new ones will be recognised far less often",
}
"""Part that was measured on → what to be wary of."""


@click.command("push", cls=Verb)
@click.argument("model", type=options.Place(), metavar="RUN")
@click.argument("repository", type=options.Location(), metavar="OWNER/NAME")
@click.option("--data", type=options.Location(), help="Images to measure it on.  [default: those that RUN says]")
@click.option("--public", is_flag=True, help="Let everybody see a repository that is made.  [default: only its owner]")
@click.option(
    "--license",
    "licence",
    metavar="NAME",
    help="Licence of the model, such as apache-2.0.  [default: that of the weights that it began with]",
)
@click.option("--message", default="A model of neocog's", show_default=True, help="Message of the commit.")
@click.option("--dry-run", is_flag=True, help="Show the model card, and send nothing.")
@options.precision
@options.threads
@options.workers
@options.engine
@options.as_json
@options.quiet
def command(
    model: Path,
    repository: str,
    data: str | None,
    public: bool,
    licence: str | None,
    message: str,
    dry_run: bool,
    precision: Precision,
    threads: int | None,
    workers: int | None,
    engine: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Send the model of RUN to a hub, with a model card: classes, accuracy, what is done to pictures, licences.

    It needs the extra [hub], and HF_TOKEN, a token that may write. Others then use it with
    `neocog predict hub:OWNER/NAME a.jpg`, or `nc.from_hub("OWNER/NAME")`. Which images it learnt from is not sent.
    """
    if precision == "int8":
        raise CommandLineError("a card tells figures of float32, not of int8", hint="leave --precision out")
    place = Repository.parse(repository)
    if not dry_run:
        library()  # before images are read, which may take minutes
    network = models.open_model(model, engine, threads, precision=precision)
    network.graph.check_classifies("neocog push")
    measured = _measured(network, model, data, workers=workers, quiet=quiet)
    files = files_of(network, place, measured=measured, licence=licence)
    if dry_run:
        emit(printable_lines(files[CARD].decode()))
        return
    address = push(files, place, public=public, message=message, quiet=quiet)
    if as_json:
        print_json({"repository": place.name, "commit": address, "files": {n: len(c) for n, c in files.items()}})
        return
    emit(f"{printable(address)}\nnext  neocog predict hub:{place} picture.jpg")


def _measured(network: Network, run: Path, data: str | None, *, workers: int | None, quiet: bool) -> Figures | None:
    """Measure a model as `neocog report` does; None where the images are not at hand, and nobody named them."""
    folder = RunFolder(models.find_model(run).parent)
    # what comes from a hub has a config.json of another kind, which must not say which images are read here
    config = {} if names_a_hub(str(run)) else read_run(folder, {})[0]
    try:
        kept = config.get("data")
        if data is None and not isinstance(kept, str):
            raise DataError(f"{run} does not say what it was trained on")
        location = data if data is not None else datasets.located(str(kept))
        with told_of_compiling(quiet=quiet):
            found = measure(network, location, folder, config, named=data is not None, workers=workers, quiet=quiet)
    except (NeocogError, CommandLineError) as error:
        if data is not None:
            raise
        if not quiet:
            note(f"the model card has no accuracy: {error.message}; name the images with --data")
        return None
    chose = config.get("keep", "best") == "best" or isinstance(found.evaluation, LabelsEvaluation)
    caution = CAUTIONS.get(found.part) if found.part != "validation" or chose else None
    return Figures(found.evaluation, found.part, caution, settled(network.precision))


def printable_lines(text: str) -> str:
    """Return lines, with all else that would act on a terminal as escapes."""
    return "\n".join(printable(line) for line in text.splitlines())
