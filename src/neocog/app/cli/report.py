"""`neocog report RUN`: one file that says how good a training's model is, and shows where it is not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from neocog.app.cli import datasets, models, options
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError, note
from neocog.app.cli.learnt import is_other_data
from neocog.app.cli.measured import match_classes
from neocog.app.cli.output import emit
from neocog.app.cli.published import all_to_learn_from
from neocog.app.cli.replacing import check_replaces
from neocog.app.cli.trained import Outcome
from neocog.app.cli.verb import Verb
from neocog.app.page.files import MARK, page_file
from neocog.app.report.answers import BATCH
from neocog.app.report.read import read_run
from neocog.app.report.trained import Measured, Trained
from neocog.app.report.write import write_report
from neocog.data.batches import Batches
from neocog.data.check import check_data
from neocog.data.resize import ImageSize
from neocog.engines.precision import Precision
from neocog.errors import DataError, NeocogError
from neocog.interop.hub.repository import names_a_hub
from neocog.model.network import Network
from neocog.text import printable
from neocog.train.evaluation import evaluate
from neocog.train.runfolder import RunFolder
from neocog.train.source import DataSource

MOST_CHECKED = 5000
"""Images that the end of a training checks anew, some seconds' work; `neocog report` checks any number."""

PARTS = ("test", "validation", "train")
"""What `neocog train` measures on: the first of these that the data has."""


@click.command("report", cls=Verb)
@click.argument("run", type=options.Place())
@click.option("--data", type=options.Location(), help="Where the images lie now.  [default: where RUN says]")
@click.option("--output", "-o", type=options.Place(), help="File to write.  [default: report.html in RUN]")
@options.threads
@options.workers
@options.engine
@options.precision
@options.quiet
def command(
    run: Path,
    data: str | None,
    output: Path | None,
    threads: int | None,
    workers: int | None,
    engine: str,
    precision: Precision,
    quiet: bool,
) -> None:
    """Write how good the model of RUN is, and where it is not, to one HTML file that works offline.

    `neocog train` writes the same at its end. Where the images are not at hand, the file says so, and what is known
    without them.
    """
    page_file("report.js")  # before images are read, which may take minutes
    if names_a_hub(str(run)):
        raise CommandLineError(f"neocog report is about a run folder, got {run}", hint=f"try: neocog info {run}")
    if output is not None:
        check_replaces(output, MARK.encode(), by="neocog")
    model = models.open_model(run, engine, threads, precision=precision)
    model.graph.check_classifies("neocog report")
    folder = RunFolder(models.find_model(run).parent)
    missing: dict[str, str] = {}
    config, epochs = read_run(folder, missing)
    measured = None
    with told_of_compiling(quiet=quiet):
        try:
            location = _location(config.get("data"), data, run)
            measured = measure(model, location, folder, config, named=data is not None, workers=workers, quiet=quiet)
        except (NeocogError, CommandLineError) as error:
            if data is not None:
                raise
            missing["data"] = error.message
            if not quiet:
                note(f"the images are not at hand: {error.message}; name their folder with --data")
        path = output if output is not None else folder.report
        size = write_report(
            Trained(folder, model, config, epochs, measured, config.get("time") is not None, missing), path
        )
    emit(f"{printable(str(path))}  {size / 2**20:.1f} MiB")


def report_outcome(outcome: Outcome, config: Mapping[str, object], *, quiet: bool) -> None:
    """Write the report at the end of a training; where that cannot be, say why and go on."""
    folder = outcome.folder
    missing: dict[str, str] = {}
    _, epochs = read_run(folder, missing)
    labels = range(len(outcome.model.class_names))
    few = sum(len(part) for _, part in outcome.splits.items()) <= MOST_CHECKED
    cut = outcome.history.stopped == "time limit"
    try:
        page_file("report.js")  # before time is spent
        check = check_data(outcome.splits) if few else None
        measured = Measured(outcome.data, outcome.splits, outcome.part, labels, outcome.evaluation, check)
        with told_of_compiling(quiet=quiet):
            write_report(Trained(folder, outcome.model, config, epochs, measured, cut, missing), folder.report)
    except NeocogError as error:
        folder.report.unlink(missing_ok=True)
        if not quiet:
            note(f"no report was written: {error.message}")


def _location(kept: object, data: str | None, run: Path) -> str:
    if data is not None:
        return data
    if not isinstance(kept, str):
        raise DataError(f"{run} does not say what it was trained on")
    return datasets.located(kept)


def measure(
    model: Network,
    location: str,
    folder: RunFolder,
    config: Mapping[str, object],
    *,
    named: bool,
    workers: int | None,
    quiet: bool,
) -> Measured:
    """Measure a model as `neocog train` does at its end, and check the data.

    Raises:
        NeocogError, CommandLineError: there is no such data, or it has other classes; or it is other data than the
            model learnt from, and nobody `named` it.
    """
    source = datasets.open_source(location, quiet=quiet)
    if not named and is_other_data(model, source):
        raise DataError(f"{location} now holds other images")
    splits = datasets.split(source, recorded=folder.read_split(), quiet=quiet)
    if config.get("recipe") is not None:
        splits = all_to_learn_from(source, splits)
    parts = dict(splits.items())
    part = next(name for name in PARTS if name in parts)
    labels = match_classes(model.class_names, splits.class_names, parts[part].counts())
    size = ImageSize(*model.input_shape)
    for name, images in parts.items():
        datasets.list_unreadable(datasets.verify(images, size, model.resize, name=name, workers=workers, quiet=quiet))
    batches = Batches(parts[part], BATCH, size, resize=model.resize, workers=workers, on_error="skip")
    reader = DataSource(batches, labels, len(model.class_names))
    if not reader.images:
        raise DataError(f"{location}: no image of the {part} part can be read")
    evaluation = evaluate(model, reader.batches(0))
    with datasets.progress_bar("checking", quiet=quiet) as progress:
        check = check_data(splits, workers=workers, progress=progress)
    return Measured(location, splits, part, labels.tolist(), evaluation, check)
