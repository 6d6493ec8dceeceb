"""The one walk through a folder, and the one rule of what an image is; every verb finds its images here.

    image       a usual ending (endings.py); or an unusual one, or none, and first bytes of a format that is read
    picture     a picture in a format that is not read, such as HEIC: told apart from images, counted and named
    other       everything else

Only files with unusual endings are opened, and of them no more than a few bytes are read: names decide about the usual
images, and about what is surely none, such as .txt. Folders and files that begin with a dot, and what systems leave
behind (Thumbs.db, __MACOSX), are passed over in silence. Run folders (with a model.safetensors) are left out. What is
left out, and what could not be looked into, is kept in `LeftOut`, which words it for people.

Symbolic links are followed, also to a folder that is in the walk by another way: a class may be a link to another. One
that leads to a folder above itself, or to nothing but itself, is a circle, and passed over with a note. Links from
each folder to the next can still make exponentially many ways (two at each of 30 folders: 2^30), so no folder is gone
into by more than `MOST_WAYS` ways; those that are left are noted.
"""

from __future__ import annotations

import errno
import heapq
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from neocog.data.endings import NO_IMAGES, PICTURES, has_image_ending
from neocog.data.formats import FORMATS, HEAD, foreign, recognise
from neocog.reading import open_file
from neocog.text import printable

RUN_FILES = frozenset({"model.safetensors", "last.safetensors"})
"""Files that mark a folder as what a training left behind."""

MOST_WAYS = 100
"""Ways on which one walk goes into the same folder, through links."""

CONVERT = "convert them, such as to JPEG"

_JUNK_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})
_JUNK_FOLDERS = frozenset(
    {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found", "__pycache__"}
)

_SHOWN = 3  # names listed in a message before "and n more"


def format_of(head: bytes) -> str | None:
    """Return the format of a picture by its first bytes, of those that are read and of some that are not.

    >>> format_of(b"GIF89a..."), format_of(b"P6 of all people"), format_of(b"\\0\\0\\0\\x18ftypheic")
    ('GIF', None, 'HEIC')
    """
    read = recognise(head)
    known = None if read is not None else foreign(head)
    return read if known is None else known.format


def listed(names: Iterable[str], shown: int = _SHOWN) -> str:
    """Return the first few names, safe to show, and how many more there are.

    >>> listed(["a", "b", "c", "d", "e"])
    'a, b, c and 2 more'
    """
    names = list(names)
    text = ", ".join(map(printable, names[:shown])) or "nothing"
    return f"{text} and {len(names) - shown:,} more" if len(names) > shown else text


class Entries(NamedTuple):
    """What lies directly in one folder: names, sorted."""

    folders: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    pictures: tuple[tuple[str, str], ...] = ()  # name, and a format that is not read
    others: tuple[str, ...] = ()
    unreadable: tuple[tuple[str, str], ...] = ()  # name, and why it could not be seen what it is
    closed: str | None = None  # why the folder could not be looked into
    circles: tuple[str, ...] = ()  # links to a folder above, or to themselves

    @property
    def is_run(self) -> bool:
        """Whether a training left this folder behind."""
        return not RUN_FILES.isdisjoint(self.others)


@dataclass
class LeftOut:
    """What a walk did not take, as paths relative to its root.

    Attributes:
        pictures: in formats that are not read: path, format.
        others: files that are no pictures.
        unreadable: files whose kind could not be seen: path, reason.
        closed: folders that could not be looked into: path, reason.
        runs: run folders.
        circles: links that lead to a folder above them, or to themselves.
        linked: folders that were gone into by `MOST_WAYS` other ways.
    """

    pictures: list[tuple[str, str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    closed: list[tuple[str, str]] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    circles: list[str] = field(default_factory=list)
    linked: list[str] = field(default_factory=list)

    def add(self, folder: str, found: Entries) -> None:
        """Note what one folder holds besides images and folders."""
        self.pictures += [(_join(folder, name), kind) for name, kind in found.pictures]
        self.others += [_join(folder, name) for name in found.others]
        self.unreadable += [(_join(folder, name), reason) for name, reason in found.unreadable]
        self.circles += [_join(folder, name) for name in found.circles]
        if found.closed is not None:
            self.closed.append((folder or ".", found.closed))

    @property
    def lost(self) -> bool:
        """Whether pictures are among it, or what may hold or be some."""
        return bool(self.pictures or self.closed or self.unreadable or self.linked)

    def merge(self, other: LeftOut, folder: str) -> None:
        """Add what a walk of `folder` left out."""
        self.pictures += [(_join(folder, path), kind) for path, kind in other.pictures]
        self.others += [_join(folder, path) for path in other.others]
        self.unreadable += [(_join(folder, path), reason) for path, reason in other.unreadable]
        self.closed += [(_join(folder, path) if path != "." else folder, reason) for path, reason in other.closed]
        self.runs += [_join(folder, path) for path in other.runs]
        self.circles += [_join(folder, path) for path in other.circles]
        self.linked += [_join(folder, path) for path in other.linked]

    def notes(self) -> list[str]:
        """Return a line for each kind of thing that was left out, with its number and some names."""
        notes = []
        if self.closed:
            names = listed(path for path, _ in sorted(self.closed))
            notes.append(f"{_counted(len(self.closed), 'folder')} not looked into ({self.closed[0][1]}): {names}")
        if self.linked:
            names = listed(sorted(self.linked))
            count = _counted(len(self.linked), "folder")
            notes.append(f"{count} not looked into (links lead there by more than {MOST_WAYS} ways): {names}")
        if self.pictures:
            kinds = Counter(kind for _, kind in self.pictures)
            formats = ", ".join(f"{kind} {number:,}" for kind, number in kinds.most_common())
            names = listed(path for path, _ in sorted(self.pictures))
            count = _counted(len(self.pictures), "picture")
            notes.append(f"{count} left out, in formats that are not read ({formats}): {names}; {CONVERT}")
        if self.unreadable:
            names = listed(path for path, _ in sorted(self.unreadable))
            notes.append(f"{names} ignored: cannot be read ({self.unreadable[0][1]})")
        if self.circles:
            notes.append(f"{listed(sorted(self.circles))} ignored: a link that leads in a circle")
        if self.runs:
            notes.append(f"{listed(sorted(self.runs))} ignored: a run folder with a trained model")
        if self.others:
            notes.append(f"{listed(sorted(self.others))} ignored: no image file")
        return notes


class Walk:
    """A folder and all below it. Each folder is read once, when it is first asked for.

    Folders are named by their paths relative to the root, with forward slashes; "" is the root itself. No method raises
    OSError: what cannot be read is noted where it lies.

    Arguments:
        root: the folder to start from.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        self._entries: dict[str, Entries] = {}
        self._holding: dict[str, bool] = {}
        self._identities: dict[str, object] = {}

    def path(self, folder: str) -> Path:
        """Return where a folder or file lies."""
        return self.root / folder

    def entries(self, folder: str = "") -> Entries:
        """Return what lies directly in a folder; a link that leads back up is no folder, but a circle."""
        if folder not in self._entries:
            found = _read(os.path.join(self.root, folder))  # noqa: PTH118 - a Path a file costs time
            above = self._above(folder) if found.folders else set()
            up = {name for name in found.folders if self._identity(_join(folder, name)) in above}
            if up:
                folders = tuple(name for name in found.folders if name not in up)
                found = found._replace(folders=folders, circles=tuple(sorted({*found.circles, *up})))
            self._entries[folder] = found
        return self._entries[folder]

    def folders(self, folder: str = "") -> list[str]:
        """Return the folders directly in a folder; a link that leads back up is none."""
        return [_join(folder, name) for name in self.entries(folder).folders]

    def below(self, folder: str = "", left_out: LeftOut | None = None) -> Iterator[tuple[str, Entries]]:
        """Yield a folder and all below it with what they hold; a run folder ends the way down.

        Links are followed as in `folders`; where `MOST_WAYS` ends the way down, the folder goes to `left_out.linked`.
        """
        ways: Counter[object] = Counter()
        stack = [folder]
        while stack:
            current = stack.pop()
            identity = self._identity(current)
            ways[identity] += 1
            if ways[identity] > MOST_WAYS:
                if left_out is not None:
                    left_out.linked.append(current)
                continue
            found = self.entries(current)
            yield current, found
            if not (found.is_run and current):
                stack += reversed(self.folders(current))

    def images(self, folder: str = "", left_out: LeftOut | None = None) -> list[str]:
        """Return the paths of all images in a folder and below it, sorted; what else is there goes to `left_out`."""
        images: list[str] = []
        for current, found in self.below(folder, left_out):
            if found.is_run and current:
                if left_out is not None:
                    left_out.runs.append(current)
                continue
            images += [_join(current, name) for name in found.images]
            if left_out is not None:
                left_out.add(current, found)
        return sorted(images)

    def in_order(self, left_out: LeftOut) -> Iterator[str]:
        """Yield the paths of all images one by one, in the order of their parts; what else is there goes to `left_out`.

        Folders are forgotten once they are done: it holds the names of one, and of those above it.
        """
        ways: Counter[object] = Counter()
        stack: list[Iterator[tuple[str, bool]]] = [iter([("", True)])]
        while stack:
            path, is_folder = next(stack[-1], ("", None))
            if is_folder is None:
                stack.pop()
            elif not is_folder:
                yield path
            else:
                stack.append(self._inside(path, ways, left_out))

    def _inside(self, folder: str, ways: Counter[object], left_out: LeftOut) -> Iterator[tuple[str, bool]]:
        """Yield the images and folders directly in a folder, sorted, and whether each is a folder."""
        identity = self._identity(folder)
        ways[identity] += 1
        if ways[identity] > MOST_WAYS:
            left_out.linked.append(folder)
            return
        found = self.entries(folder)
        del self._entries[folder]
        if found.is_run and folder:
            left_out.runs.append(folder)
            return
        left_out.add(folder, found)
        images, folders = ((name, False) for name in found.images), ((name, True) for name in found.folders)
        for name, is_folder in heapq.merge(images, folders):
            yield _join(folder, name), is_folder

    def _above(self, folder: str) -> set[object]:
        """Return what a folder and those above it are, up to the root."""
        above = {self._identity(folder)}
        while folder:
            folder = folder.rpartition("/")[0]
            above.add(self._identity(folder))
        return above

    def _identity(self, folder: str) -> object:
        if folder not in self._identities:
            try:
                status = os.stat(os.path.join(self.root, folder))  # noqa: PTH116, PTH118
                self._identities[folder] = (status.st_dev, status.st_ino)
            except (OSError, ValueError):
                self._identities[folder] = folder  # not to be reached: nothing else is the same
        return self._identities[folder]

    def holds_images(self, folder: str = "") -> bool:
        """Whether there is an image in a folder or below it; stops at the first."""
        if folder not in self._holding:
            self._holding[folder] = any(found.images and not (found.is_run and c) for c, found in self.below(folder))
        return self._holding[folder]


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _read(folder: str) -> Entries:
    folders: list[str] = []
    images: list[str] = []
    pictures: list[tuple[str, str]] = []
    others: list[str] = []
    unreadable: list[tuple[str, str]] = []
    circles: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name
                if name.startswith("."):
                    continue
                is_folder = _is_folder(entry)
                if is_folder is None:
                    circles.append(name)
                elif is_folder:
                    if name.lower() not in _JUNK_FOLDERS:
                        folders.append(name)
                elif has_image_ending(name):
                    images.append(name)
                else:
                    kind, reason = _kind(entry.path, name.lower())
                    if kind in FORMATS:
                        images.append(name)
                    elif kind is not None:
                        pictures.append((name, kind))
                    elif reason is not None:
                        unreadable.append((name, reason))
                    elif name.lower() not in _JUNK_FILES:
                        others.append(name)
    except (OSError, ValueError) as error:
        return Entries(closed=_reason(error))
    return Entries(
        tuple(sorted(folders)),
        tuple(sorted(images)),
        tuple(sorted(pictures)),
        tuple(sorted(others)),
        tuple(sorted(unreadable)),
        circles=tuple(sorted(circles)),
    )


def _is_folder(entry: os.DirEntry[str]) -> bool | None:
    """Whether an entry is a folder, or leads to one; None: it is a link that leads to itself."""
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP and is_circle(entry.path):
            return None
        # A link to a place that may not be looked into: as a folder it is told of, and not lost.
        return not has_image_ending(entry.name)


def is_circle(link: str) -> bool:
    """Whether a link has no end. The system says so (ELOOP) of every path with more than 40 links in it."""
    try:
        os.path.realpath(link, strict=True)
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def _kind(path: str, name: str) -> tuple[str | None, str | None]:
    """Return the format of a file whose ending is none of an image, or why it could not be seen."""
    if name in _JUNK_FILES or name.endswith(NO_IMAGES):
        return None, None
    called = PICTURES.get(os.path.splitext(name)[1])  # noqa: PTH122
    try:
        with open_file(path) as file:
            found = format_of(file.read(HEAD))
    except (OSError, ValueError) as error:
        return called, _reason(error)
    if called is not None and (found is None or found == "TIFF"):  # most raw formats of cameras begin as TIFF does
        return called, None
    return found, None


def _reason(error: OSError | ValueError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' if number != 1 else ''}"
