"""`neocog predict MODEL SOURCE…`: name what images show."""

from __future__ import annotations

import csv
import functools
import io
import sys
from collections.abc import Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from neocog.app.cli import models, options, rejecting
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError, RunFailed, fail, note, warn
from neocog.app.cli.output import count, emit, format_json
from neocog.app.cli.sources import STDIN, Picture, Pictures
from neocog.app.cli.verb import Verb
from neocog.app.prediction import AnyPrediction, prediction_of
from neocog.data.decode import decode_image
from neocog.data.resize import ImageSize
from neocog.engines.base import Array
from neocog.engines.precision import Precision
from neocog.errors import DataError
from neocog.model.calibration import Reject
from neocog.model.stream import AnswerStream
from neocog.text import printable

if TYPE_CHECKING:
    from neocog.model.network import Network
    from neocog.model.views import Views


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An image that cannot be read."""

    path: str
    error: DataError

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {"path": self.path, "error": self.error.message}

    def tell(self) -> None:
        """Warn of it on stderr."""
        hint = "if these are paths, add --list" if self.path == STDIN else self.error.hint
        warn(self.error.message, self.error.details, hint)


@click.command("predict", cls=Verb)
@models.argument
@click.argument("source", type=options.Location(), nargs=-1, metavar="SOURCE...")
@click.option(
    "--top",
    type=options.WholeOption(1),
    help="Number of classes to print per image.  [default: 1; of several labels, those above their thresholds]",
)
@click.option("--list", "listed", is_flag=True, help="With -, read paths from stdin, one per line.")
@click.option(
    "--jsonl", "as_jsonl", is_flag=True, help="Print one JSON object a line, also for images that cannot be read."
)
@click.option(
    "--csv", "as_csv", is_flag=True, help="Print CSV with a header; on a terminal, control characters are escaped."
)
@rejecting.flag
@options.as_json
@click.option("--strict", is_flag=True, help="Exit with 1 if any image cannot be read.")
@options.batch_size
@options.threads
@options.workers
@options.engine
@options.precision
@options.views
@options.quiet
@click.pass_context
def command(
    ctx: click.Context,
    /,
    model: Path,
    source: tuple[str, ...],
    top: int | None,
    listed: bool,
    as_jsonl: bool,
    as_csv: bool,
    reject: Reject | None,
    as_json: bool,
    strict: bool,
    batch_size: int,
    threads: int | None,
    workers: int | None,
    engine: str,
    precision: Precision,
    views: Views | None,
    quiet: bool,
) -> None:
    """Classify images: print the path, class and probability of each image, one per line, in order. A model for several
    labels an image gives all that are above their thresholds, which neocog info shows.

    MODEL is a model file, a run folder, an ONNX file or hub:OWNER/NAME. SOURCE is an image, a folder, a pattern such as
    'a/*.jpg', @FILE for a list of paths in a file, or - for an image on stdin (with --list: for a list of paths). There
    may be any number: answers are written as they come, in order. Images that cannot be read are listed on stderr and
    skipped; so is what a folder holds besides images. A file whose name begins with - is written ./-name, or behind --.
    """
    forms = [name for name, given in (("--csv", as_csv), ("--json", as_json), ("--jsonl", as_jsonl)) if given]
    if len(forms) > 1:
        raise CommandLineError(f"{forms[0]} and {forms[1]} cannot both be given")
    if listed and not source and not sys.stdin.isatty():
        source = (STDIN,)
    if not source:
        raise CommandLineError("neocog predict needs SOURCE", hint=_hidden_file(ctx.command))
    if listed and STDIN not in source:
        raise CommandLineError(
            "--list needs - as a SOURCE, in the place of the listed paths",
            hint="such as: neocog predict MODEL - --list < paths.txt",
        )
    trained = models.open_model(model, engine, threads, precision=precision)
    trained.graph.check_classifies("neocog predict")
    models.take_views(trained, views, quiet=quiet)
    rejecting.take_reject(trained, reject)
    pictures = Pictures(source, listed=listed)
    outcomes = predict(trained, pictures, top=top, batch_size=batch_size, workers=workers)
    with told_of_compiling(quiet=quiet), closing(outcomes):
        if as_json:
            named, lost = _print_json(outcomes, single=pictures.single)
        elif as_jsonl:
            named, lost = _print_json_lines(outcomes)
        else:
            header = _header(trained, top) if as_csv else None
            named, lost = _print_lines(outcomes, header)
    for told in () if quiet else pictures.notes:
        note(told)
    if lost:
        told = f"{count(lost, 'image')} of {named + lost:,} could not be read"
        if strict:
            fail(f"{told}, and --strict allows none")
        click.echo(told, err=True)
    if strict and pictures.lost:
        fail("some pictures were left out, and --strict allows none")
    if named == 0:
        raise RunFailed


def _hidden_file(command: click.Command) -> str | None:
    """Return a hint where a flag is also the name of a file, which was then taken for the flag."""
    flags = (name for parameter in command.params for name in parameter.opts if name.startswith("-"))
    file = next((name for name in flags if Path(name).is_file()), None)
    return None if file is None else f"to name the file {file}, write ./{file} or put it behind --"


Outcome = AnyPrediction | Unreadable


def predict(
    model: Network,
    pictures: Iterable[Picture | None],
    *,
    top: int | None = None,
    batch_size: int = 64,
    workers: int | None = None,
) -> Generator[list[Outcome]]:
    """Name pictures, some at a time and in order, in memory that does not grow with their number.

    Arguments:
        model: that names them.
        pictures: read lazily; None where the next one may take long. Those before it are then named at once.
        top: how many classes; None: the likeliest, or all labels that an image is given.
        batch_size, workers: as `neocog.model.stream.AnswerStream` takes them.
    """
    size = ImageSize(*model.input_shape)
    batch_size = min(batch_size, model.images_at_once)  # large images wait in smaller groups
    stream: AnswerStream[Picture] = AnswerStream(
        functools.partial(model.predict_proba, batch_size=batch_size),
        lambda picture: decode_image(picture.read(), size, model.resize, name=picture.name),
        batch_size=batch_size,
        workers=workers,
    )
    with closing(stream.batches(pictures)) as batches:
        for batch in batches:
            yield [_outcome(model, picture.name, answer, top) for picture, answer in batch]


def _outcome(model: Network, path: str, answer: Array | DataError, top: int | None) -> Outcome:
    if isinstance(answer, DataError):
        return Unreadable(path, answer)
    return prediction_of(model, path, answer, top)


def _header(model: Network, top: int | None) -> list[str]:
    """Return the first line of CSV."""
    if model.loss.several_labels:
        return ["path", "labels", "probabilities"]
    columns = ["class", "probability"]
    more = range(2, min(top or 1, len(model.class_names)) + 1)
    return ["path", *columns, *(f"{name}_{rank}" for rank in more for name in columns)]


def _print_lines(batches: Iterable[list[Outcome]], header: list[str] | None) -> tuple[int, int]:
    """Print a line for each prediction as its batch is done, tab-separated, or CSV below a header.

    What programs read keeps the bytes of every path, and CSV its control characters, which quotes hold; a terminal gets
    neither raw.

    Returns:
        How many were named, and how many could not be read.
    """
    seen = sys.stdout.isatty()
    text = io.StringIO()
    as_csv = header is not None
    writer = csv.writer(text, lineterminator="\n")
    if header is not None:
        writer.writerow(header)
    named = lost = 0
    for batch in batches:
        for outcome in batch:
            if isinstance(outcome, Unreadable):
                _flush(text)
                outcome.tell()
                lost += 1
                continue
            cells = outcome.csv_cells() if as_csv else outcome.cells()
            if seen or not as_csv:
                cells = [printable(cell, keep_bytes=not seen) for cell in cells]
            if as_csv:
                writer.writerow(cells)
            else:
                text.write("\t".join(cells) + "\n")
            named += 1
        _flush(text)
    _flush(text)
    return named, lost


def _flush(text: io.StringIO) -> None:
    emit(text.getvalue(), end="")
    text.seek(0)
    text.truncate()


def _print_json(batches: Iterable[list[Outcome]], *, single: bool) -> tuple[int, int]:
    """Print one object for one image, else an array, written as it grows; return what `_print_lines` does."""
    named = lost = 0
    for batch in batches:
        for outcome in batch:
            if isinstance(outcome, Unreadable):
                sys.stdout.flush()
                outcome.tell()
                lost += 1
                continue
            if single:
                emit(format_json(outcome.to_json()))
            else:
                lead = "[\n" if named == 0 else ",\n"
                sys.stdout.write(f"{lead}  {format_json(outcome.to_json(), indent=None)}")
            named += 1
        sys.stdout.flush()
    if not single:
        emit("[]" if named == 0 else "\n]")
    return named, lost


def _print_json_lines(batches: Iterable[list[Outcome]]) -> tuple[int, int]:
    """Print one object a line, in place of what cannot be read one that says so; return what `_print_lines` does."""
    named = lost = 0
    for batch in batches:
        for outcome in batch:
            sys.stdout.write(format_json(outcome.to_json(), indent=None) + "\n")
            if isinstance(outcome, Unreadable):
                sys.stdout.flush()
                outcome.tell()
                lost += 1
            else:
                named += 1
        sys.stdout.flush()
    return named, lost
