"""`neocog evaluate MODEL DATA`: how good a trained model is on labelled images."""

from __future__ import annotations

import time
from pathlib import Path

import click

from neocog.app.cli import datasets, models, options
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import RunFailed
from neocog.app.cli.measured import class_table, confused_line, match_classes
from neocog.app.cli.output import count, emit, percent, print_json
from neocog.data.batches import Batches
from neocog.data.builtin import DIGITS
from neocog.data.dataset import Dataset, Source
from neocog.data.resize import ImageSize
from neocog.errors import DataError
from neocog.train.evaluation import Evaluation, evaluate
from neocog.train.runfolder import read_config
from neocog.train.source import DataSource

CONFIG_FILE = "config.json"  # of a run folder


@click.command("evaluate", cls=options.Verb)
@models.argument
@datasets.argument
@click.option(
    "--split",
    type=options.OneOf(datasets.SPLITS),
    help="The part to measure on.  [default: test; all, if DATA has no parts and MODEL did not learn from it]",
)
@options.batch_size
@options.threads
@options.workers
@options.engine
@options.as_json
@options.quiet
@click.option("--strict", is_flag=True, help="Exit with 1 if an image could not be read.")
def command(
    model: Path,
    data: str,
    split: str | None,
    batch_size: int,
    threads: int | None,
    workers: int | None,
    engine: str,
    as_json: bool,
    quiet: bool,
    strict: bool,
) -> None:
    """Measure accuracy, loss and confusion of MODEL on DATA.

    MODEL is a model file or a run folder. The classes of DATA are matched to the model's by name.
    """
    trained = models.open_model(model, engine, threads)
    source = datasets.open_source(data)
    learnt = _learnt_from(models.find_model(model), source, data)
    parts = _parts(source, split, learnt=learnt, quiet=quiet)
    labels = [match_classes(trained.class_names, part.class_names, part.counts()) for _, part in parts]
    size = ImageSize(*trained.input_shape)
    batch_size = min(batch_size, trained.images_at_once)
    reasons = [
        reason
        for name, part in parts
        for reason in datasets.verify(part, size, trained.resize, name=name, workers=workers, quiet=quiet)
    ]
    datasets.list_unreadable(reasons)
    if not quiet and split is None and [name for name, _ in parts] == ["all"]:
        click.echo(f"note: {source.name} sets no test part apart; all of its images are measured on", err=True)
    began = time.perf_counter()
    readers = [
        DataSource(Batches(part, batch_size, size, resize=trained.resize, workers=workers, on_error="skip"), relabel)
        for (_, part), relabel in zip(parts, labels, strict=True)
    ]
    if not sum(reader.images for reader in readers):
        raise DataError(f"{data}: there is no image that can be read", hint=f"see: neocog check {data}")
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
            }
        )
    else:
        emit(_text(evaluation, names, seconds))
    if strict and reasons:
        raise RunFailed


def _parts(source: Source, split: str | None, *, learnt: bool, quiet: bool) -> list[tuple[str, Dataset]]:
    """List what to measure on: parts that DATA sets apart as they are, others as `neocog train` splits them."""
    own = {"train": source.train, "validation": source.validation, "test": source.test, "all": source.unsplit}
    there = [(name, part) for name, part in own.items() if part is not None]
    if split == "all":
        return there
    if split is not None:
        wanted = datasets.PART_NAMES[split]
        if wanted != "train" and own[wanted] is not None:
            return [(name, part) for name, part in there if name == wanted]
        return datasets.parts_of(datasets.split(source, quiet=quiet), split)
    for name in ("test", "validation"):
        if own[name] is not None:
            return [(name, part) for part_name, part in there if part_name == name]
    if learnt:
        return datasets.parts_of(datasets.split(source, quiet=quiet), "test")
    return there


def _learnt_from(model: Path, source: Source, data: str) -> bool:
    """Whether the model was trained on this very data, as far as its run folder tells."""
    if source.name == DIGITS and not Path(data).exists():
        return True  # a model that knows digits may well have learnt from these; the held-out fifth is always fair
    try:
        config = read_config(model.parent / CONFIG_FILE)
        return Path(config["data"]).expanduser().resolve() == Path(data).expanduser().resolve()
    except (OSError, ValueError, TypeError, KeyError):
        return False


def _text(evaluation: Evaluation, names: str, seconds: float) -> str:
    return "\n".join(
        [
            f"accuracy {percent(evaluation.accuracy)} of {count(evaluation.images, f'{names} image')}, "
            f"loss {evaluation.loss:.4f} ({seconds:.1f} s, {evaluation.images / seconds:,.0f} images/s)",
            "",
            class_table(evaluation),
            "",
            f"confused: {confused_line(evaluation)}",
        ]
    )
