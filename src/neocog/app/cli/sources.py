"""What `neocog predict` is asked about: files, folders, patterns and stdin, as one ordered list of images."""

from __future__ import annotations

import fnmatch
import glob
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from neocog.app.cli.errors import CommandLineError, nearest
from neocog.data.walk import CONVERT, IMAGE_EXTENSIONS, LeftOut, Walk
from neocog.errors import DataError
from neocog.reading import expanded

STDIN = "-"
MOST_LIST = 1 << 30  # bytes of a list of paths: ten million of a hundred bytes
_PATTERN = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Picture:
    """One image to be named: what to call it, and how to get what `decode_image` reads."""

    name: str
    read: Callable[[], Path | BinaryIO]


@dataclass(frozen=True, slots=True)
class Pictures:
    """The images that sources name, and what was left out of their folders.

    Arguments:
        found: the images, in order.
        notes: what was left out, for people.
        lost: whether pictures are among it, or folders that may not be looked into.
    """

    found: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lost: bool = False


def pictures_of(sources: Sequence[str], *, listed: bool = False) -> Pictures:
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
    found: list[Picture] = []
    notes: list[str] = []
    lost = False
    for source in sources:
        left_out = LeftOut()
        found += _expand(source, listed, left_out)
        lost = lost or left_out.lost
        notes += [f"{source}: {note}" for note in left_out.notes()]
    return Pictures(found, notes, lost)


def _expand(source: str, listed: bool, left_out: LeftOut) -> Iterator[Picture]:
    path = Path(source)
    if source == STDIN:
        yield from _listed() if listed else [Picture("-", lambda: sys.stdin.buffer)]
    elif os.path.isdir(path):  # noqa: PTH112 - raises nothing, whatever the name
        yield from map(_file, _images_below(path, left_out))
    elif os.path.lexists(path):
        yield _file(path)
    elif _PATTERN & set(source):
        yield from map(_file, _matching(source, left_out))
    else:
        guess = nearest(path.name, _names_beside(path))
        hint = f"did you mean {path.parent / guess}?" if guess else "check the spelling and the current folder"
        raise CommandLineError(f"there is no file or folder {source}", hint=hint)


def _images_below(folder: Path, left_out: LeftOut) -> list[Path]:
    files = [folder / image for image in Walk(folder).images("", left_out)]
    if not files:
        hint = CONVERT if left_out.pictures else f"images end in {' '.join(IMAGE_EXTENSIONS)}"
        raise DataError(f"{folder}: this folder has no images", details=tuple(left_out.notes()), hint=hint)
    return sorted(files)


def _matching(pattern: str, left_out: LeftOut) -> list[Path]:
    """List the files that a pattern matches; a folder stands for the images below it, as it does without a pattern."""
    start, rest = _literal_start(pattern)
    parts = [part for part in rest.split("/") if part]
    if "**" in parts:
        files = [path for path in _files_below(start) if _fits(path.relative_to(start).parts, parts)]
    else:
        # Path.glob takes no absolute pattern
        matches = [Path(match) for match in sorted(glob.glob(glob.escape(start) + rest))]  # noqa: PTH207
        files = [match for match in matches if match.is_file()]
        for folder in (match for match in matches if match.is_dir()):
            inner = LeftOut()
            files += [folder / image for image in Walk(folder).images("", inner)]
            left_out.merge(inner, folder.name)
    files.sort()
    if not files:
        place = Path(start or ".")
        first = place / rest.partition("/")[0]
        folder = place if _PATTERN & set(first.name) else first
        hint = "check the pattern and the current folder" if folder.is_dir() else f"there is no folder {folder}"
        raise CommandLineError(f"{pattern}: no file matches this pattern", hint=hint)
    return files


def _literal_start(pattern: str) -> tuple[str, str]:
    """Cut a pattern behind the longest path that there is as it stands, such as the folder "set [2024]".

    >>> _literal_start("/usr/[nowhere]/*.jpg")
    ('/usr/', '[nowhere]/*.jpg')
    """
    cuts = [place + 1 for place, character in enumerate(pattern) if character == "/"]
    cut = next((cut for cut in reversed(cuts) if os.path.isdir(pattern[:cut])), 0)  # noqa: PTH112
    return pattern[:cut], pattern[cut:]


def _files_below(start: str) -> Iterator[Path]:
    """Yield all files below a folder that are not hidden; glob itself would follow links in circles."""
    seen = set()
    for place, folders, files in os.walk(start or ".", followlinks=True):
        status = os.stat(place)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (path for name in files if not name.startswith(".") and (path := Path(place, name)).is_file())


def _fits(names: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path fits a pattern, both cut at slashes; "**" stands for any number of folders, or all that is below.

    >>> _fits(["a", "b", "1.png"], ["**", "*.png"]), _fits(["a", "1.png"], ["*.png"])
    (True, False)
    """
    if not pattern or not names:
        return not pattern and not names
    if pattern[0] == "**":
        return len(pattern) == 1 or any(_fits(names[place:], pattern[1:]) for place in range(len(names)))
    return fnmatch.fnmatchcase(names[0], pattern[0]) and _fits(names[1:], pattern[1:])


def _file(path: Path) -> Picture:
    return Picture(str(path), lambda: path)


def _listed() -> Iterator[Picture]:
    text = sys.stdin.buffer.read(MOST_LIST + 1)
    if len(text) > MOST_LIST:
        raise DataError(f"the list of paths on stdin holds more than {MOST_LIST:,} bytes")
    lines = text.splitlines()
    paths = [expanded(os.fsdecode(line)) for line in lines if line.strip()]
    if not paths:
        raise DataError("the list of paths on stdin is empty")
    return map(_file, paths)


def _names_beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return []
