"""What `neocog predict` is asked about: files, folders, patterns and stdin, as images in order."""

from __future__ import annotations

import fnmatch
import glob
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from neocog.app.cli.errors import CommandLineError, nearest
from neocog.app.cli.lists import paths_in, paths_on_stdin
from neocog.data.endings import IMAGE_EXTENSIONS
from neocog.data.sharded import images_in, is_shards
from neocog.data.shards import is_pattern
from neocog.data.walk import CONVERT, Entries, LeftOut, Walk, is_circle
from neocog.errors import DataError
from neocog.reading import expanded

STDIN = "-"
LIST = "@"  # before the name of a list of paths
_PATTERN = frozenset("*?[")
_OPEN = "give yourself the right to read with: chmod u+rX"
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Picture:
    """One image to be named: what to call it, and how to get what `decode_image` reads."""

    name: str
    read: Callable[[], Path | BinaryIO]


class Pictures:
    """The images that sources name, found while they are gone through: names of a folder or a list are not kept.

    Arguments:
        sources: files, folders (with all that is below, sorted by path), patterns such as "a/**/*.jpg", shards and
            patterns of such (neocog.data.shards), "-" for an image on stdin, "@FILE" for a list of paths in a file.
        listed: "-" stands for a list of paths on stdin instead, one a line.

    Attributes:
        single: whether they are one image by its own name, rather than what a folder or a list happens to hold.
        notes: what was left out of folders so far, for people.
        lost: whether pictures are among it, or folders that may not be looked into.

    Raises:
        CommandLineError: there is no such file or folder, a pattern matches none, or "-" comes twice.
        DataError: a folder holds no image.
    """

    def __init__(self, sources: Sequence[str], *, listed: bool = False) -> None:
        if list(sources).count(STDIN) > 1:
            raise CommandLineError("stdin can be read once, got '-' twice")
        self.notes: list[str] = []
        self.lost = False
        self._parts: list[tuple[str, Iterable[Picture | None], LeftOut]] = []
        single = False
        for source in sources:
            left_out = LeftOut()
            found, single = _expand(source, listed, left_out)
            self._parts.append((source, found, left_out))
        self.single = single and len(sources) == 1

    def __iter__(self) -> Iterator[Picture | None]:
        """Yield the images in order, once; None where the next name is not there yet."""
        for source, pictures, left_out in self._parts:
            yield from pictures
            self.lost = self.lost or left_out.lost
            self.notes += [f"{source}: {note}" for note in left_out.notes()]


def _expand(source: str, listed: bool, left_out: LeftOut) -> tuple[Iterable[Picture | None], bool]:
    """Return what a source names, and whether that is one image by its own name."""
    path = Path(source)
    if source == STDIN and listed:
        return map(_named, paths_on_stdin()), False
    if source == STDIN:
        return [Picture("-", lambda: sys.stdin.buffer)], True
    if os.path.isdir(path):  # noqa: PTH112 - raises nothing, whatever the name
        return _images_below(path, left_out), False
    if is_pattern(path) or (os.path.isfile(path) and is_shards(path)):  # noqa: PTH113 - as above
        return _in_shards(path), False
    if os.path.lexists(path):
        return [_file(path)], True
    if source.startswith(LIST) and source != LIST:
        return map(_named, paths_in(expanded(source.removeprefix(LIST)))), False
    if _URL.match(source):
        raise CommandLineError(
            f"{source}: URLs are not loaded", hint="download the image, and name the file; or pipe it in, with -"
        )
    if _PATTERN & set(source):
        names = [str(file) for file in _matching(source, left_out)]  # which take less than paths do
        return (_file(Path(name)) for name in names), len(names) == 1
    if _may_not_be_seen(path):
        return [_file(path)], True  # to be told as an image that cannot be read
    guess = nearest(path.name, _names_beside(path))
    hint = f"did you mean {path.parent / guess}?" if guess else "check the spelling and the current folder"
    raise CommandLineError(f"there is no file or folder {source}", hint=hint)


def _in_shards(location: Path) -> Iterator[Picture]:
    return (Picture(name, content) for name, content in images_in(location))


def _images_below(folder: Path, left_out: LeftOut) -> Iterator[Picture]:
    if not Walk(folder).holds_images() and is_shards(folder):
        return _in_shards(folder)
    if not Walk(folder).holds_images():
        Walk(folder).images("", left_out)
        hint = CONVERT if left_out.pictures else f"images end in {' '.join(IMAGE_EXTENSIONS)}"
        hint = _OPEN if left_out.closed else hint
        raise DataError(f"{folder}: this folder has no images", details=tuple(left_out.notes()), hint=hint)
    return (_file(folder / image) for image in Walk(folder).in_order(left_out))


def _matching(pattern: str, left_out: LeftOut) -> list[Path]:
    """List the files that a pattern matches; a folder stands for the images below it, as it does without a pattern."""
    start, rest = _literal_start(pattern)
    parts = [part for part in rest.split("/") if part]
    if "**" in parts:
        files = _fitting(start, parts, left_out)
    else:
        _look_on_the_way(start, parts, left_out)
        # Path.glob takes no absolute pattern
        matches = sorted(glob.glob(glob.escape(start) + rest))  # noqa: PTH207
        folders: list[Path] = []
        files = []
        for match in matches:
            (folders if os.path.isdir(match) else files).append(Path(match))  # noqa: PTH112 - raises nothing
        for folder in folders:
            inner = LeftOut()
            files += [folder / image for image in Walk(folder).images("", inner)]
            left_out.merge(inner, folder.relative_to(start).as_posix())
    files.sort()
    if not files:
        place = Path(start or ".")
        first = place / rest.partition("/")[0]
        folder = place if _PATTERN & set(first.name) else first
        there = os.path.isdir(folder)  # noqa: PTH112 - Path.is_dir raises where it is closed
        hint = "check the pattern and the current folder" if there else f"there is no folder {folder}"
        if left_out.closed:
            hint = _OPEN
        details = tuple(left_out.notes())
        raise CommandLineError(f"{pattern}: no file matches this pattern", details=details, hint=hint)
    return files


def _literal_start(pattern: str) -> tuple[str, str]:
    """Cut a pattern behind the longest path that there is as it stands, such as the folder "set [2024]".

    >>> _literal_start("/usr/[nowhere]/*.jpg")
    ('/usr/', '[nowhere]/*.jpg')
    """
    cuts = [place + 1 for place, character in enumerate(pattern) if character == "/"]
    cut = next((cut for cut in reversed(cuts) if os.path.isdir(pattern[:cut])), 0)  # noqa: PTH112
    return pattern[:cut], pattern[cut:]


def _fitting(start: str, pattern: Sequence[str], left_out: LeftOut) -> list[Path]:
    """List the files below a folder that fit a pattern with "**"; glob itself would follow links in circles.

    Of what the walk leaves out, that counts which lies where the pattern leads.
    """
    walk = Walk(start)
    passed = LeftOut()
    files: list[Path] = []
    for folder, found in walk.below("", passed):
        names = folder.split("/") if folder else []
        if not _leads_into(names, pattern):
            continue
        if found.is_run and folder:
            left_out.runs.append(folder)
            continue
        # A pattern names files, images or not: what is found, and is none, is told as one that cannot be read.
        others = (*found.others, *dict(found.pictures), *dict(found.unreadable))
        files += [walk.path(folder) / name for name in (*found.images, *others) if _fits([*names, name], pattern)]
        left_out.add(folder, Entries(closed=found.closed, circles=found.circles))
    left_out.linked += [folder for folder in passed.linked if _leads_into(folder.split("/"), pattern)]
    return files


def _look_on_the_way(start: str, pattern: Sequence[str], left_out: LeftOut) -> None:
    """Note the folders that glob passes over in silence, since they may not be looked into, and links in circles."""
    for depth, part in enumerate(pattern):
        way = glob.escape(start) + "/".join(pattern[:depth])
        for folder in sorted(glob.glob(way)) if depth else [start or "."]:  # noqa: PTH207
            try:
                if _PATTERN & set(part):
                    os.scandir(folder).close()
                else:
                    os.lstat(os.path.join(folder, part))  # noqa: PTH118
            except (FileNotFoundError, NotADirectoryError, ValueError):
                continue  # nothing is there, and nothing lost
            except OSError as error:
                name = Path(folder).relative_to(start).as_posix()
                if is_circle(folder):
                    left_out.circles.append(name)
                else:
                    left_out.closed.append((name, error.strerror or str(error)))


def _may_not_be_seen(path: Path) -> bool:
    """Whether it cannot be seen if there is a file, since its folder may not be entered."""
    try:
        os.lstat(path)
    except PermissionError:
        return True
    except (OSError, ValueError):
        pass
    return False


def _leads_into(folder: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a pattern may fit something below a folder, both cut at slashes.

    >>> _leads_into(["a"], ["a", "**", "*.png"]), _leads_into(["b"], ["a", "**", "*.png"]), _leads_into(["a"], ["a"])
    (True, False, False)
    """
    if not pattern or not folder:
        return bool(pattern)
    return pattern[0] == "**" or (fnmatch.fnmatchcase(folder[0], pattern[0]) and _leads_into(folder[1:], pattern[1:]))


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


def _named(path: Path | None) -> Picture | None:
    return None if path is None else _file(path)


def _names_beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except (OSError, ValueError):
        return []
