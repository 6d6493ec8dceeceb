"""How a verb finds its DATA, reads it once, and names its parts."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote_to_bytes

import click

from neocog.app.cli import options
from neocog.app.cli.errors import CommandLineError, warn
from neocog.app.cli.output import count
from neocog.data.builtin import DIGITS
from neocog.data.dataset import Dataset, DataSplits, Source, Subset
from neocog.data.files import FileDataset
from neocog.data.resize import DEFAULT_RESIZE, ImageSize, ResizeRule
from neocog.data.shards import is_pattern
from neocog.data.sources import read_source, split_source
from neocog.errors import DataError
from neocog.reading import expanded

VALIDATION_FRACTION = 0.1  # of a training part that comes with a test part, and without a validation part
SPLIT_SEED = 0  # one for all: --seed changes a training, not what is held out, so that figures stay comparable
SPLITS = ("train", "val", "test", "all")
PART_NAMES = {"train": "train", "val": "validation", "test": "test"}
FILE = "file://"
LISTED = 20  # unreadable images that are named one by one

argument = click.argument("data", type=options.Location())


def open_source(location: str, *, quiet: bool = False) -> Source:
    """Read what lies at a location, unsplit; a bar shows how many shards are indexed, where there are many.

    Raises:
        CommandLineError: nothing lies there.
        DataError, FormatError: nothing there that is understood.
    """
    try:
        with progress_bar("indexing", quiet=quiet, unit="shards") as progress:
            return read_source(location, progress)
    except DataError as error:
        if location == DIGITS or os.path.lexists(expanded(location)):
            raise
        raise CommandLineError(error.message, details=error.details, hint=error.hint) from None


def absolute(location: str) -> str:
    """Return a location as it reads from every folder, in words that JSON can hold; the name of built-in data stays.

    A path is absolute, and a URI where it is not UTF-8, as file names on Linux need not be.
    """
    path = expanded(location)
    if not is_there(location):
        return location
    whole = os.path.abspath(path)  # noqa: PTH100 - Path.resolve would follow links
    return whole if not _has_raw_bytes(whole) else Path(whole).as_uri()


def is_there(location: str) -> bool:
    """Whether a location is a file or a folder, or a pattern of shards' names."""
    path = expanded(location)
    return is_pattern(path) or path.exists()


def located(text: str) -> str:
    """Return the location that `absolute` wrote."""
    return os.fsdecode(unquote_to_bytes(text.removeprefix(FILE))) if text.startswith(FILE) else text


def _has_raw_bytes(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return True
    return False


def split(source: Source, *, recorded: Mapping[str, str] | None = None, quiet: bool = False) -> DataSplits:
    """Make the parts that a source does not have, by content; the same for every verb and every seed.

    Images that a split.csv of a run has (`recorded`: name → part) stay in its parts.
    """
    # What has no parts of its own is split by the rules of neocog.data; what has a test part lacks only validation.
    fraction = None if source.test is None else VALIDATION_FRACTION
    with progress_bar("comparing", quiet=quiet) as progress:
        return split_source(source, validation_fraction=fraction, seed=SPLIT_SEED, recorded=recorded, progress=progress)


@contextmanager
def progress_bar(what: str, *, quiet: bool, unit: str = "images") -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr while a long pass goes on; gives what to call with (done, total)."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from tqdm import tqdm  # here, since most uses show no bar

    # miniters: steps differ in length by far, and tqdm would learn from quick ones to draw seldom
    with tqdm(desc=what, unit=f" {unit}", leave=False, delay=0.5, miniters=1, file=sys.stderr) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield progress


def verify(
    part: Dataset,
    size: ImageSize,
    resize: ResizeRule = DEFAULT_RESIZE,
    *,
    name: str,
    workers: int | None = None,
    quiet: bool = False,
) -> list[str]:
    """Read every image of a part once and give the reasons, one for each that cannot be read."""
    with progress_bar(f"reading {name}", quiet=quiet) as progress:
        return list(part.verify(size, resize, workers=workers, progress=progress).values())


def list_unreadable(reasons: list[str], *, strict: bool = False) -> None:
    """Name on stderr the images that cannot be read, and are skipped unless `strict`.

    Raises:
        DataError: there are any, and `strict` does not go on without them.
    """
    if not reasons:
        return
    rest = len(reasons) - LISTED
    named = [*reasons[:LISTED], *([f"and {rest:,} more"] if rest > 0 else [])]
    images = count(len(reasons), "image")
    if strict:
        raise DataError(f"{images} cannot be read, and --strict allows none", details=tuple(named))
    warn(f"{images} cannot be read and {'is' if len(reasons) == 1 else 'are'} skipped", named)


def file_of(data: Dataset, index: int) -> Path | None:
    """Return the file of an image, or None where it lies in an array."""
    if isinstance(data, Subset):
        return file_of(data.dataset, int(data.indices[index]))
    return data.path(index) if isinstance(data, FileDataset) else None


def parts_of(splits: DataSplits, name: str) -> list[tuple[str, Dataset]]:
    """List the parts that --split names.

    Raises:
        CommandLineError: the data has no such part.
    """
    parts = dict(splits.items())
    if name == "all":
        return list(parts.items())
    wanted = PART_NAMES[name]
    if wanted not in parts:
        raise CommandLineError(
            f"{splits.name} has no {wanted} part; it has {', '.join(parts)}", hint="choose another with --split"
        )
    return [(wanted, parts[wanted])]
