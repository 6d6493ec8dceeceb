"""What `neocog predict` is asked about: files, folders, patterns and stdin, as one ordered list of images."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from neocog.app.cli.errors import CommandLineError, nearest
from neocog.data.decode import IMAGE_EXTENSIONS
from neocog.errors import DataError

STDIN = "-"
_PATTERN = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Picture:
    """One image to be named: what to call it, and how to get what `decode_image` reads."""

    name: str
    read: Callable[[], Path | BinaryIO]


def pictures_of(sources: Sequence[str], *, listed: bool = False) -> list[Picture]:
    """List the images that `sources` name, in their order; those of a folder or a pattern sorted by path.

    Arguments:
        sources: files, folders (with all that is below), patterns such as "a/**/*.jpg", "-" for an image on stdin.
        listed: "-" stands for a list of paths on stdin instead, one a line.

    Raises:
        CommandLineError: there is no such file or folder, a pattern matches none, or "-" comes twice.
        DataError: a folder or the list holds no image.
    """
    if list(sources).count(STDIN) > 1:
        raise CommandLineError("stdin can be read once, got '-' twice")
    return [picture for source in sources for picture in _expand(source, listed)]


def _expand(source: str, listed: bool) -> Iterator[Picture]:
    path = Path(source)
    if source == STDIN:
        yield from _listed() if listed else [Picture("-", lambda: sys.stdin.buffer)]
    elif path.is_dir():
        files = images_below(path)
        if not files:
            raise DataError(f"{source}: there are no images in this folder", hint=_endings())
        yield from map(_file, files)
    elif path.exists():
        yield _file(path)
    elif _PATTERN & set(source):
        files = [Path(match) for match in sorted(glob.glob(source, recursive=True)) if Path(match).is_file()]  # noqa: PTH207 - Path.glob takes no absolute pattern
        if not files:
            folder = next(p for p in (path, *path.parents) if not _PATTERN & set(str(p)))
            hint = "quote it, and try it with: ls" if folder.is_dir() else f"there is no folder {folder}"
            raise CommandLineError(f"{source}: no file matches this pattern", hint=hint)
        yield from map(_file, files)
    else:
        guess = nearest(path.name, _names_beside(path))
        hint = f"did you mean {path.parent / guess}?" if guess else "check the spelling, and the folder you are in"
        raise CommandLineError(f"there is no file or folder {source}", hint=hint)


def _file(path: Path) -> Picture:
    return Picture(str(path), lambda: path)


def _listed() -> Iterator[Picture]:
    lines = sys.stdin.buffer.read().splitlines()
    paths = [Path(os.fsdecode(line)) for line in lines if line.strip()]
    if not paths:
        raise DataError("the list of paths on stdin is empty")
    return map(_file, paths)


def _names_beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []


def images_below(folder: Path) -> list[Path]:
    """List the image files below a folder, sorted by path; names that begin with a dot are left out."""
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(place, name) for name in files if name.lower().endswith(IMAGE_EXTENSIONS) and not name.startswith(".")
        ]
    return sorted(found)


def _endings() -> str:
    return f"images end in {' '.join(IMAGE_EXTENSIONS)}"
