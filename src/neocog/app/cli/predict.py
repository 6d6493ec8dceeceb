"""`neocog predict MODEL SOURCE…`: name what images show."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from numpy.typing import NDArray

from neocog.app.cli import models, options, rejecting
from neocog.app.cli.compiling import told_of_compiling
from neocog.app.cli.errors import CommandLineError, RunFailed, fail, note, warn
from neocog.app.cli.output import count, emit, format_json
from neocog.app.cli.sources import STDIN, Picture, pictures_of
from neocog.data.dataset import SEPARATOR
from neocog.data.decode import decode_image
from neocog.data.parallel import map_in_order, worker_count
from neocog.data.resize import ImageSize, check_rule
from neocog.errors import DataError
from neocog.model.calibration import UNKNOWN_NAME, Reject
from neocog.model.thresholds import given_labels
from neocog.text import printable

if TYPE_CHECKING:
    from neocog.model.network import Network
    from neocog.model.views import Views


@dataclass(frozen=True, slots=True)
class Prediction:
    """One image's likeliest classes, the likeliest first. Where that is not `certain` enough for the model, the answer
    is unknown, with the probability of the likeliest class.
    """

    path: str
    classes: tuple[tuple[str, float], ...]
    certain: bool = True

    @property
    def answer(self) -> str:
        """The likeliest class, or unknown."""
        return self.classes[0][0] if self.certain else UNKNOWN_NAME

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        top = [{"class": name, "probability": probability} for name, probability in self.classes]
        return {"path": self.path, "class": self.answer, "probability": self.classes[0][1], "top": top}

    def cells(self) -> list[str]:
        """Return the path, then a class and its probability, as often as asked for."""
        first, *rest = self.classes
        return [self.path, *(cell for name, p in [(self.answer, first[1]), *rest] for cell in (name, f"{p:.4f}"))]

    csv_cells = cells


@dataclass(frozen=True, slots=True)
class LabelsPrediction:
    """The labels that one image is given, the likeliest first, and the probabilities of all."""

    path: str
    classes: tuple[tuple[str, float], ...]
    probabilities: dict[str, float]

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "path": self.path,
            "labels": [name for name, _ in self.classes],
            "probabilities": self.probabilities,
        }

    def cells(self) -> list[str]:
        """Return the path, then each label and its probability."""
        return [self.path, *(cell for name, p in self.classes for cell in (name, f"{p:.4f}"))]

    def csv_cells(self) -> list[str]:
        """Return the path, then the labels as tables hold them, and as many probabilities."""
        names, shares = [name for name, _ in self.classes], [f"{p:.4f}" for _, p in self.classes]
        return [self.path, SEPARATOR.join(names), SEPARATOR.join(shares)]


AnyPrediction = Prediction | LabelsPrediction


@click.command("predict", cls=options.Verb)
@models.argument
@click.argument("source", type=options.Location(), nargs=-1, metavar="SOURCE...")
@click.option(
    "--top",
    type=options.WholeOption(1),
    help="Number of classes to print per image.  [default: 1; of several labels, those above their thresholds]",
)
@click.option("--list", "listed", is_flag=True, help="With -, read paths from stdin, one per line.")
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
    as_csv: bool,
    reject: Reject | None,
    as_json: bool,
    strict: bool,
    batch_size: int,
    threads: int | None,
    workers: int | None,
    engine: str,
    views: Views | None,
    quiet: bool,
) -> None:
    """Classify images: print the path, class and probability of each image, one per line, in order. A model for several
    labels an image gives all that have a probability above a half.

    MODEL is a model file or a run folder. SOURCE is an image, a folder, a pattern such as 'a/*.jpg', or - for an image
    on stdin (with --list: for a list of paths). Images that cannot be read are listed on stderr and skipped; so is what
    a folder holds besides images. A file whose name begins with - is written ./-name, or behind --.
    """
    if as_csv and as_json:
        raise CommandLineError("--csv and --json cannot both be given")
    if listed and not source and not sys.stdin.isatty():
        source = (STDIN,)
    if not source:
        raise CommandLineError("neocog predict needs SOURCE", hint=_hidden_file(ctx.command))
    if listed and STDIN not in source:
        raise CommandLineError(
            "--list needs - as a SOURCE, in the place of the listed paths",
            hint="such as: neocog predict MODEL - --list < paths.txt",
        )
    trained = models.open_model(model, engine, threads)
    trained.graph.check_classifies("neocog predict")
    trained.views = views or trained.views
    rejecting.take_reject(trained, reject)
    pictured = pictures_of(source, listed=listed)
    pictures = pictured.found
    for told in () if quiet else pictured.notes:
        note(told)
    folder = os.path.isdir(source[0])  # noqa: PTH112 - Path.is_dir raises below a closed folder
    single = len(source) == 1 and not listed and not folder and len(pictures) == 1
    predictions = predict(trained, pictures, top=top, batch_size=batch_size, workers=workers)
    with told_of_compiling(quiet=quiet):
        if as_json:
            named = _print_json(predictions, single=single)
        else:
            header = _header(trained, top) if as_csv else None
            named = _print_lines(predictions, header)
    if named < len(pictures):
        lost = f"{count(len(pictures) - named, 'image')} of {len(pictures):,} could not be read"
        if strict:
            fail(f"{lost}, and --strict allows none")
        click.echo(lost, err=True)
    if strict and pictured.lost:
        fail("some pictures were left out, and --strict allows none")
    if named == 0:
        raise RunFailed


def _hidden_file(command: click.Command) -> str | None:
    """Return a hint where a flag is also the name of a file, which was then taken for the flag."""
    flags = (name for parameter in command.params for name in parameter.opts if name.startswith("-"))
    file = next((name for name in flags if Path(name).is_file()), None)
    return None if file is None else f"to name the file {file}, write ./{file} or put it behind --"


def predict(
    model: Network,
    pictures: Sequence[Picture],
    *,
    top: int | None = None,
    batch_size: int = 64,
    workers: int | None = None,
) -> Iterator[list[AnyPrediction]]:
    """Name pictures, a batch at a time and in order; those that cannot be read are told on stderr and left out."""
    size = ImageSize(*model.input_shape)
    resize = check_rule(model.resize)

    def decode(picture: Picture) -> NDArray[np.uint8] | DataError:
        try:
            return decode_image(picture.read(), size, resize, name=picture.name)
        except DataError as error:
            return error

    threads = worker_count(workers)
    batch_size = min(batch_size, model.images_at_once)  # large images wait in smaller groups
    ahead = min(max(4 * threads, batch_size), model.images_at_once)
    waiting: list[tuple[str, NDArray[np.uint8]]] = []
    with closing(map_in_order(decode, pictures, workers=threads, ahead=ahead)) as decoded:
        for picture, image in zip(pictures, decoded, strict=True):
            if isinstance(image, DataError):
                hint = "if these are paths, add --list" if picture.name == STDIN else image.hint
                warn(image.message, image.details, hint)
                continue
            waiting.append((picture.name, image))
            if len(waiting) == batch_size:
                yield _name(model, waiting, top)
                waiting = []
    if waiting:
        yield _name(model, waiting, top)


def _name(model: Network, batch: Sequence[tuple[str, NDArray[np.uint8]]], top: int | None) -> list[AnyPrediction]:
    probabilities = model.predict_proba(np.stack([image for _, image in batch]))
    several, names = model.loss.several_labels, model.class_names
    given = given_labels(probabilities, model.thresholds)
    predictions: list[AnyPrediction] = []
    for (path, _), row, given_row in zip(batch, probabilities, given, strict=True):
        order = np.argsort(-row, kind="stable")
        chosen = order[given_row[order]] if several and top is None else order[: top or 1]
        classes = tuple((names[c], float(row[c])) for c in chosen)
        if several:
            predictions.append(LabelsPrediction(path, classes, dict(zip(names, map(float, row), strict=True))))
        else:
            certain = model.reject_below is None or bool(row.max() >= model.reject_below)
            predictions.append(Prediction(path, classes, certain))
    return predictions


def _header(model: Network, top: int | None) -> list[str]:
    """Return the first line of CSV."""
    if model.loss.several_labels:
        return ["path", "labels", "probabilities"]
    columns = ["class", "probability"]
    more = range(2, min(top or 1, len(model.class_names)) + 1)
    return ["path", *columns, *(f"{name}_{rank}" for rank in more for name in columns)]


def _print_lines(batches: Iterator[list[AnyPrediction]], header: list[str] | None) -> int:
    """Print a line for each prediction as its batch is done, tab-separated, or CSV below a header; give their number.

    What programs read keeps the bytes of every path, and CSV its control characters, which quotes hold; a terminal gets
    neither raw.
    """
    seen = sys.stdout.isatty()
    text = io.StringIO()
    as_csv = header is not None
    writer = csv.writer(text, lineterminator="\n")
    if header is not None:
        writer.writerow(header)
    printed = 0
    for batch in batches:
        for prediction in batch:
            cells = prediction.csv_cells() if as_csv else prediction.cells()
            if seen or not as_csv:
                cells = [printable(cell, keep_bytes=not seen) for cell in cells]
            if as_csv:
                writer.writerow(cells)
            else:
                text.write("\t".join(cells) + "\n")
        printed += len(batch)
        _flush(text)
    _flush(text)
    return printed


def _flush(text: io.StringIO) -> None:
    emit(text.getvalue(), end="")
    text.seek(0)
    text.truncate()


def _print_json(batches: Iterator[list[AnyPrediction]], *, single: bool) -> int:
    """Print one object for one image, else an array, written as it grows; give the number of predictions."""
    printed = 0
    for batch in batches:
        for prediction in batch:
            if single:
                emit(format_json(prediction.to_json()))
            else:
                lead = "[\n" if printed == 0 else ",\n"
                sys.stdout.write(f"{lead}  {format_json(prediction.to_json(), indent=None)}")
            printed += 1
        sys.stdout.flush()
    if not single:
        emit("[]" if printed == 0 else "\n]")
    return printed
