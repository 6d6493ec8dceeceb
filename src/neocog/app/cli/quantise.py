"""`neocog quantise MODEL DATA`: prepare a model for predictions in int8."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import click
import numpy as np

from neocog.app.cli import datasets, models, options
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError, note
from neocog.app.cli.evaluate import SPLIT_FILE
from neocog.app.cli.measured import match_classes
from neocog.app.cli.output import count, emit, format_table, print_json
from neocog.data.batches import Batches
from neocog.data.dataset import Dataset, Subset
from neocog.data.resize import ImageSize
from neocog.errors import DataError
from neocog.interop.opening import ONNX
from neocog.model.modelfile import save
from neocog.model.network import Network
from neocog.model.pictures import checked_arrays
from neocog.text import printable
from neocog.train.quantise import ENOUGH, MAX_DROP, quantise
from neocog.train.runfolder import read_split
from neocog.train.source import DataSource


@click.command("quantise", cls=options.Verb)
@models.argument
@datasets.argument
@click.option(
    "--max-drop",
    type=options.RealOption(0.0),
    default=MAX_DROP,
    show_default=True,
    help="Points of accuracy that may be lost; where more are, nothing is written.",
)
@click.option(
    "--images",
    type=options.WholeOption(1),
    default=ENOUGH,
    show_default=True,
    help="How many training images show how far the values of each layer reach.",
)
@click.option("--output", "-o", type=options.Place(), help="Model file to write.  [default: MODEL itself]")
@options.batch_size
@options.threads
@options.workers
@options.engine
@options.as_json
@options.quiet
def command(
    model: Path,
    data: str,
    max_drop: float,
    images: int,
    output: Path | None,
    batch_size: int,
    threads: int | None,
    workers: int | None,
    engine: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Prepare MODEL for predictions in int8: find by which steps the values between its layers are rounded, with
    training images of DATA, and measure on the others what that costs.

    The weights in the file stay as they are: what is added are a few numbers. predict, evaluate and serve then take
    --precision int8, and all verbs compute in float32 without it.
    """
    path = output if output is not None else models.own_file(model)
    if path.suffix.lower() == ONNX:
        raise CommandLineError(
            f"{path}: what is written is a model file of neocog, not an ONNX file",
            hint="name one with --output NAME.safetensors",
        )
    trained = models.open_model(model, engine, threads)
    trained.graph.check_classifies("neocog quantise")
    learnt, held_out = _parts(model, data, quiet=quiet)
    shown = Subset(learnt, np.unique(np.linspace(0, len(learnt) - 1, min(images, len(learnt))).astype(np.int64)))
    for part in (shown, *held_out):
        size = ImageSize(*trained.input_shape)
        datasets.list_unreadable(datasets.verify(part, size, trained.resize, name="", workers=workers, quiet=quiet))
    measured = [_source(trained, part, batch_size, workers) for part in held_out]
    calibrating = _source(trained, shown, batch_size, workers)
    if not calibrating.images or not sum(source.images for source in measured):
        raise DataError(f"{data}: no image can be read", hint=f"see: neocog check {data}")
    with told_of_compiling(quiet=quiet):
        found = quantise(
            trained,
            (checked_arrays(trained.graph, batch) for batch, _ in calibrating.batches(0)),
            lambda: chain.from_iterable(source.batches(0) for source in measured),
            max_drop=max_drop,
        )
    save(trained, path)
    if as_json:
        print_json({"model": str(path), "data": data, "scales_from": calibrating.images, **found.to_json()})
        return
    lost = f"{found.drop:.2f} points lost" if found.drop > 0 else f"{-found.drop:.2f} points won"
    rows = [
        ("scales", f"from {count(calibrating.images, 'training image')}"),
        ("float32", f"{found.measure} {found.float32:.2%} of {count(found.images, 'other image')}"),
        ("int8", f"{found.measure} {found.int8:.2%}: {lost}"),
        ("model", printable(str(path))),
        ("next", f"neocog predict {printable(str(path))} IMAGE --precision int8"),
    ]
    emit(format_table(rows))


def _parts(model: Path, data: str, *, quiet: bool) -> tuple[Dataset, list[Dataset]]:
    """Return the images to find scales with, as neocog train would train on them, and all others."""
    source = datasets.open_source(data, quiet=quiet)
    if not quiet:
        for told in source.notes:
            note(told)
    recorded = read_split((model if model.is_dir() else model.parent) / SPLIT_FILE)
    splits = datasets.split(source, recorded=recorded, quiet=quiet)
    held_out = [part for part in (splits.validation, splits.test) if part is not None and len(part)]
    if not held_out:
        raise DataError(f"{data} has no image to measure on that is not for training", hint="give it DATA/val")
    return splits.train, held_out


def _source(model: Network, part: Dataset, batch_size: int, workers: int | None) -> DataSource:
    labels = match_classes(model.class_names, part.class_names, part.counts())
    size = ImageSize(*model.input_shape)
    most = min(batch_size, model.images_at_once)
    batches = Batches(part, most, size, resize=model.resize, workers=workers, on_error="skip")
    return DataSource(batches, labels, len(model.class_names))
