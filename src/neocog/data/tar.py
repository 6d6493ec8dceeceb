"""Images in tar archives, as WebDataset lays them out (github.com/webdataset/webdataset): members that share the name
up to its first dot, one behind the other, are one sample.

    0001.jpg 0001.cls      an image (any ending of images), and its class by number, or by name
    0001.png 0001.json     an image, and an object with label, class, target or cls; or the label alone
    0001.jpg 0001.txt      an image, and the name of its class

Beside the archives, or in the folder above all of them, classes.txt may name the numbers, line after line. All headers
are read once, in one pass, and leave an index in memory: about 80 bytes an image. From then on each image is read where
it lies, so that tar archives are like a folder of files in all that follows: order, shares of processes, splits,
digests. Packed ones (.tar.gz) are refused.
"""

from __future__ import annotations

import io
import json
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neocog.data.archive import TarMember, members
from neocog.data.classes import CLASS_FILES, fault_of, in_order, read_class_names
from neocog.data.compact import PackedNames
from neocog.data.dataset import ReadProgress, Source
from neocog.data.decode import MAX_BYTES
from neocog.data.encoded import EncodedDataset
from neocog.data.endings import has_image_ending
from neocog.data.faults import unreadable_file
from neocog.data.shards import TAR, Shards, find_shards, is_pattern, root_of, steps
from neocog.data.walk import listed
from neocog.errors import DataError, FormatError
from neocog.nn import limits
from neocog.reading import open_file

KIND = "tar shards (WebDataset)"

_LABELS = ("cls", "json", "txt")  # endings of members that hold a label; the first that a sample has counts
_LABEL_KEYS = ("label", "class", "target", "cls")
_MOST_LABEL = 1 << 20  # bytes of a member that holds one
_LONGEST_NUMBER = 20  # digits
_SHOWN = 3


class TarSample(NamedTuple):
    """Members that belong together, by the part of their names behind the first dot, in lower case."""

    key: str
    members: dict[str, TarMember]

    @property
    def image(self) -> TarMember | None:
        """The image among them; the plain ending counts (jpg), before others (mask.jpg)."""
        endings = [ending for ending in self.members if has_image_ending(f"x.{ending}")]
        plain = [ending for ending in endings if "." not in ending]
        chosen = plain if plain else endings
        if len(chosen) > 1:
            raise FormatError(f"a sample has {len(chosen)} images: {listed(self.members[e].name for e in chosen)}")
        return self.members[chosen[0]] if chosen else None


class TarDataset(EncodedDataset):
    """Labelled images that are members of tar archives.

    Arguments:
        root: the folder that names of archives are relative to.
        shards: the archives.
        index: where the images lie.
        labels: (N,).
        class_names: the name of each label.
        memory_budget: as EncodedDataset takes it.
    """

    def __init__(
        self,
        root: Path,
        shards: list[Path],
        index: TarIndex,
        labels: NDArray[np.int64],
        class_names: list[str],
        *,
        memory_budget: int | None = None,
    ) -> None:
        self.shards, self._states = shards, index.states
        self._shard, self._offset, self._size = index.arrays()
        super().__init__(index.names(), labels, class_names, memory_budget=memory_budget)
        self.root = root

    def called(self, index: int) -> str:
        return os.path.join(self.root, self.identifiers[index])  # noqa: PTH118 - it is no path of a file

    def opened(self, index: int) -> BinaryIO:
        number, size = int(self._shard[index]), int(self._size[index])
        name = self.called(index)
        if size > MAX_BYTES:
            raise DataError(f"{name}: an image file may hold {MAX_BYTES:,} bytes, found {size:,}")
        try:
            return io.BytesIO(read_member(self.shards[number], int(self._offset[index]), size, self._states[number]))
        except OSError as error:
            raise unreadable_file(name, error) from error


@dataclass
class TarIndex:
    """Where the images of some archives lie; it grows archive by archive, in arrays rather than objects.

    Attributes:
        states: for each archive, what tells whether it is still the same.
        labels: for each image, the number under which `known` has its label.
    """

    states: list[tuple[int, int]] = field(default_factory=list)
    labels: array[int] = field(default_factory=lambda: array("i"))
    _shards: array[int] = field(default_factory=lambda: array("i"))
    _offsets: array[int] = field(default_factory=lambda: array("q"))
    _sizes: array[int] = field(default_factory=lambda: array("q"))
    _names: bytearray = field(default_factory=bytearray)
    _ends: array[int] = field(default_factory=lambda: array("q", [0]))

    def __len__(self) -> int:
        return len(self._shards)

    def add(self, name: str, image: TarMember, label: int) -> None:
        """Add an image of the archive whose state was added last."""
        self._shards.append(len(self.states) - 1)
        self._offsets.append(image.offset)
        self._sizes.append(image.size)
        self._names += name.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._names))
        self.labels.append(label)

    def arrays(self) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
        """Return (N,) the number of the archive, the offset in it and the size of each image; it grows no more then."""
        shards, offsets, sizes = self._shards, self._offsets, self._sizes
        return np.frombuffer(shards, np.int32), np.frombuffer(offsets, np.int64), np.frombuffer(sizes, np.int64)

    def names(self) -> PackedNames:
        """Return the name of each image; it grows no more then."""
        ends = np.frombuffer(self._ends, np.int64)
        return PackedNames(self._names, ends[:-1], np.diff(ends).astype(np.int32))


def read_tars(location: str | Path, progress: ReadProgress | None = None) -> Source:
    """Read the tar archives that a file, a pattern or a folder stands for (shards.py).

    Arguments:
        progress: called with (done, total) archives.

    Raises:
        FormatError: an archive cannot be read, is damaged, cut or packed; or a label cannot be read.
        DataError: an archive is missing, there are no images, or images have no labels.
    """
    shards = find_shards(location, TAR)
    root = root_of(shards)
    given = _given_names(shards, root)
    known: dict[str, int] = {}  # label → its number, in the order in which they are found
    notes = _Notes()
    told = steps(progress, sum(map(len, shards.values())))
    indices = {part: _indexed(paths, root, known, notes, told) for part, paths in shards.items()}
    if not any(map(len, indices.values())):
        raise DataError(
            f"{location}: no images in {sum(map(len, shards.values())):,} tar archives",
            details=tuple(notes.lines()),
            hint="WebDataset's layout is 0001.jpg and 0001.cls, one behind the other; unpack other archives",
        )
    names = in_order(known) if given is None else given
    numbers = _numbers(known, names, given is not None, root)
    parts = {
        part: TarDataset(root, shards[part], index, numbers[np.frombuffer(index.labels, np.int32)], names)
        for part, index in indices.items()
        if len(index)
    }
    return Source(
        name_of_source(location),
        KIND,
        train=parts.get("train"),
        validation=parts.get("validation"),
        test=parts.get("test"),
        unsplit=parts.get("unsplit"),
        notes=tuple(notes.lines()),
    )


def _given_names(shards: Shards, root: Path) -> list[str] | None:
    """Return the names of classes that a file beside the archives, or above them all, gives; None where there is none.

    Raises:
        DataError: two such files give different names.
    """
    folders = dict.fromkeys([root, *(path.parent for paths in shards.values() for path in paths)])
    given = {folder: names for folder in folders if (names := read_class_names(folder)) is not None}
    first = next(iter(given), None)
    for folder, names in given.items():
        if first is not None and names != given[first]:
            raise DataError(f"{first} and {folder} have lists of different classes", hint="keep one of them")
    return None if first is None else given[first]


def images_in(path: Path) -> Iterator[TarMember]:
    """Yield the images of an archive, with labels or without; it is read as they are asked for.

    Raises:
        FormatError: as `members`.
    """
    for member in members(path):
        if has_image_ending(member.name.rpartition("/")[2]):
            yield member


def read_member(path: Path, offset: int, size: int, state: tuple[int, int]) -> bytes:
    """Return the bytes of a member of an archive.

    Raises:
        OSError: they cannot be read, or the archive is not that which was indexed.
    """
    with open_file(path) as file:
        status = os.fstat(file.fileno())
        if (status.st_size, status.st_mtime_ns) != state:
            raise OSError(0, "the archive was changed meanwhile")
        file.seek(offset)
        content = file.read(size)
    if len(content) != size:
        raise OSError(0, f"{size:,} bytes were expected, found {len(content):,}")
    return content


def state_of(path: Path) -> tuple[int, int]:
    """Return the length and the time of a file, which tell whether it is still the same.

    Raises:
        FormatError: it cannot be read.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise FormatError(f"{path}: the archive cannot be read: {error.strerror or error}") from error
    return status.st_size, status.st_mtime_ns


def samples(found: Iterable[TarMember]) -> Iterator[TarSample]:
    """Yield members grouped as WebDataset does it; hidden files are passed over.

    >>> [(s.key, sorted(s.members)) for s in samples([TarMember("a/1.jpg", 0, 9), TarMember("a/1.mask.PNG", 512, 9)])]
    [('a/1', ['jpg', 'mask.png'])]
    """
    key = ""
    together: dict[str, TarMember] = {}
    for member in found:
        folder, slash, base = member.name.removeprefix("./").rpartition("/")
        stem, dot, ending = base.partition(".")
        if not stem or not dot:
            continue
        here = f"{folder}{slash}{stem}"
        if here != key and together:
            yield TarSample(key, together)
            together = {}
        if ending.lower() in together:
            raise FormatError(f"two members are called {member.name}")
        key = here
        together[ending.lower()] = member
    if together:
        yield TarSample(key, together)


class _Notes:
    """What was left out of archives."""

    def __init__(self) -> None:
        self.bare: list[str] = []
        self.count = 0
        self.linked: list[str] = []
        self.links = 0

    def passed_over(self, name: str) -> None:
        """Count a member that has no bytes of its own, if it is an image by its name."""
        if has_image_ending(name.rpartition("/")[2]):
            self.links += 1
            if len(self.linked) < _SHOWN:
                self.linked.append(name)

    def lines(self) -> list[str]:
        """Return it as notes for people."""
        found = []
        if self.count:
            found.append(f"{self.count:,} samples without an image ignored: {', '.join(self.bare)}")
        if self.links:
            found.append(
                f"{self.links:,} images that are links, devices or sparse files ignored: {', '.join(self.linked)}; "
                "tar --hard-dereference packs copies"
            )
        return found


def _indexed(paths: list[Path], root: Path, known: dict[str, int], notes: _Notes, told: Callable[[], None]) -> TarIndex:
    index = TarIndex()
    for path in paths:
        index.states.append(state_of(path))
        name = path.relative_to(root).as_posix()
        try:
            with open_file(path) as file:
                for sample in samples(members(path, notes.passed_over)):
                    image = sample.image
                    if image is None:
                        notes.count += 1
                        if len(notes.bare) < _SHOWN:
                            notes.bare.append(f"{name}/{sample.key}")
                        continue
                    label = known.setdefault(_label(file, sample), len(known))
                    if len(known) > limits.MAX_CLASSES:
                        raise FormatError(
                            f"more than {limits.MAX_CLASSES:,} different labels", hint="a label is the name of a class"
                        )
                    index.add(f"{name}/{image.name}", image, label)
            told()
        except OSError as error:
            raise FormatError(f"{path}: the archive cannot be read: {error.strerror or error}") from error
        except FormatError as error:
            if error.message.startswith(str(path)):
                raise
            raise FormatError(f"{path}: {error.message}", details=error.details, hint=error.hint) from None
    return index


def _label(file: BinaryIO, sample: TarSample) -> str:
    """Return the label of a sample, a number as it is written in decimals."""
    ending = next((ending for ending in _LABELS if ending in sample.members), None)
    if ending is None:
        raise FormatError(
            f"{sample.key} has no label, found {listed(member.name for member in sample.members.values())}",
            hint=f"an image 0001.jpg has its label in 0001.cls, 0001.json ({', '.join(_LABEL_KEYS)}) or 0001.txt; "
            "an archive of class folders is unpacked first",
        )
    member = sample.members[ending]
    if member.size > _MOST_LABEL:
        raise FormatError(f"{member.name} holds {member.size:,} bytes, more than a label has")
    file.seek(member.offset)
    try:
        text = file.read(member.size).decode().strip()
        value = _value(json.loads(text)) if ending == "json" else text
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{member.name} holds no label: {error}") from None
    if value.isascii() and value.isdigit() and len(value) < _LONGEST_NUMBER:
        value = str(int(value))
    if (fault := fault_of(value)) is not None:
        raise FormatError(f"{member.name}: the label {fault}")
    return value


def _value(document: object) -> str:
    """Return the label that JSON holds."""
    if isinstance(document, dict):
        key = next((key for key in _LABEL_KEYS if key in document), None)
        if key is None:
            raise ValueError(f"it needs one of {', '.join(_LABEL_KEYS)}, found {listed(map(str, document))}")
        document = document[key]
    if isinstance(document, bool) or not isinstance(document, int | str):
        raise ValueError(f"a label is text or a whole number, got {type(document).__name__}")
    return str(document).strip()


def _numbers(known: dict[str, int], names: list[str], given: bool, root: Path) -> NDArray[np.int64]:
    """Return (known,) the number of each label that was found, in the order of the names."""
    numbers = np.empty(len(known), np.int64)
    counted = given and all(label.isascii() and label.isdigit() and int(label) < len(names) for label in known)
    place = {str(number) if counted else name: number for number, name in enumerate(names)}
    for label, found in known.items():
        number = place.get(label)
        if number is None:
            raise DataError(
                f"{root}: the label {label!r} is none of the {len(names):,} classes in {' or '.join(CLASS_FILES)}"
            )
        numbers[found] = number
    return numbers


def name_of_source(location: str | Path) -> str:
    """Return what people call a file, a pattern or a folder of shards."""
    path = Path(location)
    return (
        path.resolve().name
        if not is_pattern(path) and path.is_dir()
        else path.name.partition("{")[0].rstrip("-_.") or path.stem
    )
