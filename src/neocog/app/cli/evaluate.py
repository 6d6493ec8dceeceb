"""`neocog evaluate MODEL DATA`: how good a trained model is on labelled images."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import click

from neocog.app.cli import datasets, models, options, rejecting
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import fail, note, warn
from neocog.app.cli.learnt import learnt, nothing_unseen, unseen
from neocog.app.cli.measured import (
    accuracy_line,
    certainty_rows,
    class_table,
    confused_line,
    label_table,
    labels_line,
    macro_line,
    match_classes,
    reader_of,
)
from neocog.app.cli.output import count, emit, print_json
from neocog.app.cli.verb import Verb
from neocog.data.builtin import BUILT_IN
from neocog.data.dataset import Dataset, Source
from neocog.data.resize import ImageSize
from neocog.engines.precision import Precision
from neocog.errors import DataError
from neocog.model.calibration import Reject
from neocog.model.network import Network
from neocog.model.views import Views
from neocog.text import printable
from neocog.train.evaluation import Evaluation, evaluate
from neocog.train.labels import LabelsEvaluation
from neocog.train.runfolder import read_split

SPLIT_FILE = "split.csv"  # of a run folder


@click.command("evaluate", cls=Verb)
@models.argument
@datasets.argument
@click.option(
    "--split",
    type=options.WordOption(datasets.SPLITS),
    help="Part of DATA to measure on.  [default: test; without parts, all images that MODEL did not learn from]",
)
@rejecting.flag
@options.batch_size
@options.threads
@options.workers
@options.engine
@options.precision
@options.views
@options.as_json
@options.quiet
@click.option("--strict", is_flag=True, help="Exit with 1 if any image cannot be read.")
def command(
    model: Path,
    data: str,
    split: str | None,
    reject: Reject | None,
    batch_size: int,
    threads: int | None,
    workers: int | None,
    engine: str,
    precision: Precision,
    views: Views | None,
    as_json: bool,
    quiet: bool,
    strict: bool,
) -> None:
    """Measure how good MODEL is on DATA: accuracy and macro recall with their intervals, each class, confused pairs,
    and how far probabilities can be trusted.

    MODEL is a model file, a run folder, an ONNX file, or hub:OWNER/NAME. The classes of DATA are matched to the model's
    by name.
    """
    trained = models.open_model(model, engine, threads, precision=precision)
    trained.graph.check_classifies("neocog evaluate")
    models.take_views(trained, views, quiet=quiet)
    rejecting.take_reject(trained, reject)
    source = datasets.open_source(data, quiet=quiet)
    if not quiet:
        for told in source.notes:
            note(told)
    _check_labels(trained, source, data)
    recorded = read_split((model if model.is_dir() else model.parent) / SPLIT_FILE)
    parts, left_out = _parts(trained, source, split, recorded, quiet=quiet)
    labels = [match_classes(trained.class_names, part.class_names, part.counts()) for _, part in parts]
    size = ImageSize(*trained.input_shape)
    reasons = [
        reason
        for name, part in parts
        for reason in datasets.verify(part, size, trained.resize, name=name, workers=workers, quiet=quiet)
    ]
    datasets.list_unreadable(reasons)
    began = time.perf_counter()
    readers = [
        reader_of(trained, part, relabel, batch_size, workers) for (_, part), relabel in zip(parts, labels, strict=True)
    ]
    if not sum(reader.images for reader in readers):
        if left_out:
            raise nothing_unseen(left_out)
        raise DataError(f"{data}: no image can be read", hint=f"see: neocog check {data}")
    known = _learnt_from(trained, parts)
    if split not in ("train", "val"):
        _tell_optimism(known, sum(len(part) for _, part in parts), source, split)
    with told_of_compiling(quiet=quiet):
        evaluation = evaluate(trained, (batch for reader in readers for batch in reader.batches(0)))
    seconds = time.perf_counter() - began
    names = "+".join(name for name, _ in parts)
    if as_json:
        print_json(
            {
                "model": str(model),
                "data": data,
                "split": names,
                **evaluation.to_json(),
                "classes": list(trained.class_names),
                "seconds": seconds,
                "images_per_second": evaluation.images / seconds,
                "unreadable": len(reasons),
                "left_out": left_out,
                "learnt_from": known,
            }
        )
    else:
        emit(_text(evaluation, names, seconds))
    if strict and reasons:
        fail(f"{count(len(reasons), 'image')} could not be read, and --strict allows none")


def _check_labels(model: Network, source: Source, data: str) -> None:
    """Raise DataError where images have several labels, and the model names one class."""
    parts = (source.train, source.validation, source.test, source.unsplit)
    if any(part is not None and part.several_labels for part in parts) and not model.loss.several_labels:
        raise DataError(
            f"{data}: images may have several labels, and this model gives one",
            hint="train a model on such data: neocog train DATA",
        )


def _parts(
    model: Network, source: Source, split: str | None, recorded: Mapping[str, str], *, quiet: bool
) -> tuple[list[tuple[str, Dataset]], int]:
    """Return what to measure on, and how many images were left out because the model learnt from them.

    Parts that DATA sets apart are taken as they are, and so is what --split names. From data without a test part, all
    images are taken that the model did not learn from.
    """
    own = {"train": source.train, "validation": source.validation, "test": source.test, "all": source.unsplit}
    there = [(name, part) for name, part in own.items() if part is not None]
    if split is not None or source.test is not None or source.validation is not None:
        wanted = split or ("test" if source.test is not None else "val")
        return _named(source, there, wanted, recorded, quiet=quiet), 0
    if model.learnt_from is None and source.kind == BUILT_IN:
        # a model that knows digits may well have learnt from these; the held-out fifth is always fair
        return datasets.parts_of(datasets.split(source, quiet=quiet), "test"), 0
    name, part = there[0]
    rest, left_out = unseen(model, part, quiet=quiet)
    if left_out and not quiet:
        note(f"the model learnt from {left_out:,} of these {len(part):,} images; it is measured on the others")
    elif model.learnt_from is not None and not quiet:
        note(f"{source.name} has no test part; all of its images are used")
    return [("unseen" if left_out else name, rest)], left_out


def _named(
    source: Source, there: list[tuple[str, Dataset]], split: str, recorded: Mapping[str, str], *, quiet: bool
) -> list[tuple[str, Dataset]]:
    """Return the parts that --split names; where DATA does not set them apart, as `neocog train` splits it, or did so
    in the run that the model lies in.
    """
    if split == "all":
        return there
    wanted = datasets.PART_NAMES[split]
    chosen = [(name, part) for name, part in there if name == wanted]
    # what is left for training depends on whether a validation part is carved out of it
    if chosen and wanted != "train":
        return chosen
    return datasets.parts_of(datasets.split(source, recorded=recorded, quiet=quiet), split)


def _learnt_from(model: Network, parts: list[tuple[str, Dataset]]) -> int | None:
    """Return how many of the images that are measured on the model learnt from; None where it does not know."""
    if model.learnt_from is None:
        return None
    return sum(int(learnt(model, part, quiet=True).sum()) for _, part in parts)


def _tell_optimism(known: int | None, images: int, source: Source, split: str | None) -> None:
    """Warn, also where no progress is shown, that figures are no measure of a model on images that it does not know."""
    if known is None:
        warn(
            "the model file does not say what it learnt from",
            hint="the accuracy is too optimistic if these are images that it was trained on",
        )
    elif known:
        way = "list the duplicates with: neocog check DATA" if source.train is not None else "use other images"
        way = "leave --split out to measure on the others" if split == "all" else way
        warn(
            f"the model learnt from {known:,} of these {images:,} images",
            ["they were trained on, chose the best epoch, or fitted its probabilities"],
            f"this accuracy is too optimistic; {way}",
        )


def _text(evaluation: Evaluation | LabelsEvaluation, names: str, seconds: float) -> str:
    kind = "image" if names == "all" else f"{names} image"
    first = f"accuracy {accuracy_line(evaluation, kind)} ({seconds:.1f} s, {evaluation.images / seconds:,.0f} images/s)"
    if isinstance(evaluation, LabelsEvaluation):
        return "\n".join([first, labels_line(evaluation), "", label_table(evaluation)])
    rows = [*certainty_rows(evaluation), ("confused", confused_line(evaluation))]
    lines = [first, f"macro recall {macro_line(evaluation)}", "", class_table(evaluation), ""]
    return "\n".join([*lines, *(f"{name}: {printable(text)}" for name, text in rows)])
