"""`neocog quantise MODEL DATA`: prepare a model for predictions in int8."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import click
import numpy as np

from neocog.app.cli import datasets, models, options
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError, note, warn
from neocog.app.cli.evaluate import SPLIT_FILE
from neocog.app.cli.learnt import is_other_data, nothing_unseen, unseen
from neocog.app.cli.measured import match_classes, reader_of
from neocog.app.cli.output import count, emit, format_table, percent, print_json
from neocog.app.cli.replacing import check_replaces_model
from neocog.app.cli.verb import Verb
from neocog.data.dataset import Dataset, Subset
from neocog.data.resize import ImageSize
from neocog.engines.base import Images
from neocog.errors import DataError
from neocog.interop.opening import ONNX
from neocog.model.modelfile import save
from neocog.model.network import Network
from neocog.model.pictures import checked_arrays
from neocog.text import printable
from neocog.train.quantise import ENOUGH, MAX_DROP, check_quantises, quantise
from neocog.train.runfolder import read_split
from neocog.train.source import Batch, DataSource


@click.command("quantise", cls=Verb)
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
    if max_drop > 100:
        raise CommandLineError(f"--max-drop must be at most 100, got {max_drop:g}", hint="100 allows any loss")
    trained = models.open_model(model, engine, threads)
    check_replaces_model(path)
    check_quantises(trained)
    trained.graph.check_classifies("neocog quantise")
    material = material_of(trained, model, data, images, batch_size, workers, quiet=quiet)
    with told_of_compiling(quiet=quiet):
        found = quantise(trained, material.shown(trained), material.measured, max_drop=max_drop)
    save(trained, path)
    if as_json:
        facts = {"scales_from": material.learnt.images, "measured_on": material.kind, **found.to_json()}
        print_json({"model": str(path), "data": data, **facts})
        return
    rows = [
        ("scales", f"from {count(material.learnt.images, 'training image')}"),
        ("float32", f"{found.measure} {percent(found.float32)} of {count(found.images, f'{material.kind} image')}"),
        ("int8", f"{found.measure} {percent(found.int8)}: {_lost(found.drop)}"),
        ("model", printable(str(path))),
        ("next", f"neocog predict {printable(str(path))} IMAGE --precision int8"),
    ]
    emit(format_table(rows))


@dataclass(frozen=True, slots=True)
class Material:
    """The images that a model is prepared with.

    Arguments:
        learnt: training images, which show how far values reach.
        others: those to measure on, part by part.
        kind: what to call these: "other", or "validation" where they chose the model's best epoch.
    """

    learnt: DataSource
    others: tuple[DataSource, ...]
    kind: str

    def shown(self, model: Network) -> Iterator[Images]:
        """Yield batches of the training images, as the model takes them."""
        return (checked_arrays(model.graph, batch) for batch, _ in self.learnt.batches(0))

    def measured(self) -> Iterator[Batch]:
        """Yield batches of the others with their labels, from the first on."""
        return chain.from_iterable(source.batches(0) for source in self.others)


def material_of(
    trained: Network, model: Path, data: str, images: int, batch_size: int, workers: int | None, *, quiet: bool
) -> Material:
    """Choose the images that a model is prepared with.

    Arguments:
        trained: the model.
        model: its file, or the run that it lies in.
        data: a data set, as the command line names it.
        images: how many training images to show.
        batch_size: images at a time.
        workers: threads that decode.
        quiet: whether notes are left out.

    Raises:
        DataError: no image can be read, or there is none to measure on.
    """
    learnt, kind, held_out = _parts(trained, model, data, quiet=quiet)
    shown = Subset(learnt, np.unique(np.linspace(0, len(learnt) - 1, min(images, len(learnt))).astype(np.int64)))
    parts, size = (shown, *held_out), ImageSize(*trained.input_shape)
    labels = [match_classes(trained.class_names, part.class_names, part.counts()) for part in parts]
    for part in parts:
        datasets.list_unreadable(datasets.verify(part, size, trained.resize, name="", workers=workers, quiet=quiet))
    calibrating, *others = (
        reader_of(trained, part, relabel, batch_size, workers) for part, relabel in zip(parts, labels, strict=True)
    )
    if not calibrating.images or not sum(source.images for source in others):
        raise DataError(f"{data}: no image can be read", hint=f"see: neocog check {data}")
    return Material(calibrating, tuple(others), kind)


def _lost(drop: float) -> str:
    """Return points that are lost in words.

    >>> _lost(0.126), _lost(-0.126), _lost(-0.004)
    ('0.13 points lost', '0.13 points won', 'nothing lost')
    """
    if abs(drop) < 0.005:
        return "nothing lost"
    return f"{abs(drop):.2f} points {'lost' if drop > 0 else 'won'}"


def _parts(trained: Network, model: Path, data: str, *, quiet: bool) -> tuple[Dataset, str, list[Dataset]]:
    """Return the images to find scales with, as neocog train would train on them; what to call those to measure on; and
    these: the validation and test images that the model did not learn from.

    Where all that is left are validation images which DATA, or the run that the model lies in, sets apart, it is these:
    they chose the model's best epoch, and no weight was fitted to them.
    """
    source = datasets.open_source(data, quiet=quiet)
    if not quiet:
        for told in source.notes:
            note(told)
    recorded = read_split((model if model.is_dir() else model.parent) / SPLIT_FILE)
    splits = datasets.split(source, recorded=recorded, quiet=quiet)
    held_out = [part for part in (splits.validation, splits.test) if part is not None and len(part)]
    if not held_out:
        raise DataError(f"{data} has no image to measure on that is not for training", hint="give it DATA/val")
    if trained.learnt_from is None:
        warn(
            "the model file does not say what it learnt from",
            hint="both accuracies are too optimistic if the images measured on are some that it was trained on",
        )
    others = [unseen(trained, part, quiet=quiet) for part in held_out]
    if any(len(part) for part, _ in others):
        return splits.train, "other", [part for part, _ in others if len(part)]
    apart = bool(recorded) or (source.validation is not None and not is_other_data(trained, source))
    if splits.validation is None or not len(splits.validation) or not apart:
        raise nothing_unseen(sum(known for _, known in others), split=False)
    if not quiet:
        note("the model learnt from all of these images; it is measured on those that only chose its best epoch")
    return splits.train, "validation", [splits.validation]
