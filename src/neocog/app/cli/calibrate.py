"""`neocog calibrate MODEL DATA`: make its probabilities, and what it withholds, true for other images."""

from __future__ import annotations

from pathlib import Path

import click

from neocog.app.cli import datasets, models, options, rejecting
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError, note
from neocog.app.cli.learnt import nothing_unseen, unseen
from neocog.app.cli.measured import certainty_rows, match_classes, reader_of, thresholds_line
from neocog.app.cli.output import count, emit, format_table, print_json
from neocog.app.cli.replacing import check_replaces_model
from neocog.app.cli.verb import Verb
from neocog.data.dataset import Dataset
from neocog.data.identity import identities_in, union
from neocog.data.resize import ImageSize
from neocog.engines.precision import Precision
from neocog.errors import DataError
from neocog.interop.opening import ONNX
from neocog.model.calibration import Reject
from neocog.model.modelfile import save
from neocog.model.network import Network
from neocog.model.thresholds import HALF
from neocog.model.views import Views
from neocog.train.calibrate import calibrate, check_calibrates
from neocog.train.evaluation import evaluate
from neocog.train.labels import LabelsEvaluation
from neocog.train.thresholds import fit_thresholds_on


@click.command("calibrate", cls=Verb)
@models.argument
@datasets.argument
@click.option(
    "--split",
    type=options.WordOption(("val", "test")),
    help="Part of DATA to calibrate on.  [default: val; without parts, all images that MODEL did not learn from]",
)
@click.option("--output", "-o", type=options.Place(), help="Model file to write.  [default: MODEL itself]")
@rejecting.flag
@options.batch_size
@options.threads
@options.workers
@options.engine
@options.precision
@options.views
@options.as_json
@options.quiet
def command(
    model: Path,
    data: str,
    split: str | None,
    output: Path | None,
    reject: Reject | None,
    batch_size: int,
    threads: int | None,
    workers: int | None,
    engine: str,
    precision: Precision,
    views: Views | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Fit the probabilities of MODEL on DATA: the temperature, what --reject withholds, and where an image may have
    several labels their thresholds. Weights stay as they are, and so does the likeliest class of every image.

    neocog train does this with its validation images. Do it anew where the images are others than those: of another
    camera, or of an honest sample of what will come. MODEL then counts them as known, and evaluate leaves them out.
    """
    if precision == "int8":
        raise CommandLineError(
            "what is fitted is kept for the answers in float32",
            hint="leave --precision out; predictions in int8 use the same fit",
        )
    path = output if output is not None else models.own_file(model)
    if path.suffix.lower() == ONNX:
        raise CommandLineError(
            f"{path}: what is written is a model file of neocog, not an ONNX file",
            hint="name one with --output NAME.safetensors; neocog export makes an ONNX file of it",
        )
    trained = models.open_model(model, engine, threads, precision=precision)
    check_replaces_model(path)
    trained.graph.check_classifies("neocog calibrate")
    if reject is not None or not trained.loss.several_labels:
        check_calibrates(trained)
    trained.views = views or trained.views
    name, part = _part(trained, data, split, quiet=quiet)
    labels = match_classes(trained.class_names, part.class_names, part.counts())
    size = ImageSize(*trained.input_shape)
    datasets.list_unreadable(datasets.verify(part, size, trained.resize, name=name, workers=workers, quiet=quiet))
    source = reader_of(trained, part, labels, batch_size, workers)
    if not source.images:
        raise DataError(f"{data}: no image can be read", hint=f"see: neocog check {data}")
    with told_of_compiling(quiet=quiet):
        if trained.loss.several_labels:
            fit_thresholds_on(trained, source.batches(0))
        else:
            calibrate(trained, source.batches(0), reject=reject)
        measured = evaluate(trained, source.batches(0))
    trained.learnt_from = union(trained.learnt_from, identities_in((part,)))
    save(trained, path)
    rows: list[tuple[str, str]] = [("calibrated", f"on {count(measured.images, f'{name} image'.strip())}")]
    facts: dict[str, object] = {"model": str(path), "data": data, "split": name, "images": measured.images}
    if isinstance(measured, LabelsEvaluation):
        rows.append(("given above", thresholds_line(measured)))
        given = trained.thresholds or (HALF,) * len(trained.class_names)
        facts["thresholds"] = dict(zip(trained.class_names, given, strict=True))
    else:
        rows += certainty_rows(measured, fitted=True)
        found = measured.certainty
        facts |= {} if found is None else found.to_json()
    rows.append(("model", str(path)))
    if as_json:
        print_json(facts)
    else:
        emit(format_table(rows))


def _part(model: Network, data: str, split: str | None, *, quiet: bool) -> tuple[str, Dataset]:
    """Return the images to calibrate on, and what to call them.

    Raises:
        CommandLineError: DATA does not set the wanted part apart.
        DataError: the model learnt from all that there is.
    """
    source = datasets.open_source(data, quiet=quiet)
    if not quiet:
        for told in source.notes:
            note(told)
    own = {"val": source.validation, "test": source.test}
    if source.unsplit is None or split is not None:
        wanted = split or "val"
        part = own[wanted]
        if part is None:
            raise CommandLineError(
                f"{source.name} has no {datasets.PART_NAMES[wanted]} part",
                hint="put images into DATA/val, or name a folder of images that MODEL was not trained on",
            )
        return datasets.PART_NAMES[wanted], part
    rest, left_out = unseen(model, source.unsplit, quiet=quiet)
    if not len(rest):
        raise nothing_unseen(left_out)
    if left_out and not quiet:
        these = f"{left_out:,} of these {len(source.unsplit):,} images"
        note(f"the model learnt from {these}; it is calibrated on the others")
    return "unseen" if left_out else "", rest
