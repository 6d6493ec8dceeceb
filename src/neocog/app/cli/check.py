"""`neocog check DATA`: what is wrong with a data set, before time is spent on training."""

from __future__ import annotations

import io
from pathlib import Path

import click

from neocog.app.cli import datasets, options
from neocog.app.cli.errors import CommandLineError, RunFailed, note
from neocog.app.cli.output import emit
from neocog.app.cli.verb import Verb
from neocog.data.check import check_data
from neocog.data.dataset import Dataset


@click.command("check", cls=Verb)
@datasets.argument
@click.option(
    "--preview",
    type=options.Place(),
    metavar="FILE.png",
    help="Write a picture of what a network sees: some images as they are read, and as the first epochs show them.",
)
@click.option(
    "--augment",
    type=options.TransformsOption(),
    help="With --preview: how training changes images, as for train.  [default: as neocog train chooses]",
)
@click.option(
    "--img-size", type=options.SizeOption(), metavar="N|HxW", help="With --preview: size of images, as for train."
)
@options.workers
@options.as_json
@options.quiet
def command(
    data: str,
    preview: Path | None,
    augment: str | None,
    img_size: tuple[int, int] | None,
    workers: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Find damaged, duplicate and suspicious images in DATA; exit with 1 if there is an error.

    Errors make training fail or lose images, warnings make its results misleading, notes are worth knowing.
    """
    if preview is None and (augment or img_size):
        flag = "--augment" if augment else "--img-size"
        raise CommandLineError(
            f"{flag} says what --preview shows, and there is no --preview", hint="add --preview a.png"
        )
    if preview is not None:
        _check_place(preview)
    splits = datasets.split(datasets.open_source(data, quiet=quiet), quiet=quiet)
    if preview is not None:
        _write_preview(splits.train, preview, augment, img_size)
        if not quiet:
            note(f"{preview} shows what a network sees")
    with datasets.progress_bar("checking", quiet=quiet) as progress:
        report = check_data(splits, workers=workers, progress=progress)
    emit(report.to_json() if as_json else report.to_text())
    if not report.ok:
        raise RunFailed


def _check_place(preview: Path) -> None:
    """Refuse a place that cannot be written to before minutes are spent on reading images."""
    if preview.suffix.lower() != ".png":
        raise CommandLineError(
            f"--preview writes a PNG image, got {preview}", hint=f"write {preview.with_suffix('.png')}"
        )
    if not preview.absolute().parent.is_dir():
        raise CommandLineError(f"there is no folder {preview.parent} to write {preview.name} into")


def _write_preview(part: Dataset, path: Path, augment: str | None, img_size: tuple[int, int] | None) -> None:
    # here, since most checks draw nothing
    from neocog.data.augment.pipeline import Pipeline
    from neocog.data.augment.sheet import contact_sheet
    from neocog.data.augment.words import parsed
    from neocog.model.writing import write_atomically
    from neocog.train.pictures import choose_size, may_be_mirrored
    from neocog.train.recipe import choose, mirrored

    size = choose_size(part, img_size)
    if augment is None:
        recipe = choose(part.counts(), size, images=len(part))
        transforms = (mirrored(recipe) if may_be_mirrored(part, size) else recipe).augment
    else:
        transforms = parsed(augment)
    sheet = contact_sheet(part, size, Pipeline(transforms))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    write_atomically(path, content.getvalue())
