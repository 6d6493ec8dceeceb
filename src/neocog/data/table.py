"""A table of image files and their labels.

    CSV (also ; or tab)    a header with path|file_name|file|image|filename and label|class|target; optional: split
                           several labels an image: labels, such as cat|dog; nothing where an image has none; or
                           one column a class, of 0 and 1 (see indicators.py)
    JSON lines             the same names as keys, one object a line
    metadata.csv, .jsonl   such a table inside a folder, or one in each of root/{train,val,test} (Hugging Face)

Paths are relative to the table. Labels are names; where all are numbers they are sorted as numbers, so that label 10
follows 9, and whole ones are written as such: pandas writes 1.0 for 1. A split column holds names of parts.py. Damage
is refused with its line (records.py reads the text). A metadata table labels images if it has both columns; one that
says something else, such as licences, or that cannot be read, is foreign to the data set.
"""

from __future__ import annotations

import math
import os
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from neocog.data.classes import LONGEST_LABEL, in_order
from neocog.data.dataset import SEPARATOR, Dataset, Source
from neocog.data.endings import has_image_ending
from neocog.data.files import FileDataset, Sample
from neocog.data.indicators import indicated, indicator_columns, others_than_indicators
from neocog.data.layout import METADATA_NAMES, named_parts
from neocog.data.parts import SPLIT_NAMES, part_name
from neocog.data.records import Record, damage, first_line_names, read_columns, read_records
from neocog.data.walk import LeftOut, Walk, listed
from neocog.errors import DataError, FormatError
from neocog.reading import expanded
from neocog.text import printable

TABLE_EXTENSIONS = (".csv", ".tsv", ".jsonl")

_PATH_COLUMNS = ("path", "file_name", "file", "image", "filename")
_LABEL_COLUMNS = ("label", "class", "target")
_SEVERAL_COLUMN = "labels"  # of several labels an image
_SPLIT_COLUMN = "split"
_COLUMN = "a column's name"
_KEYS = frozenset({*_PATH_COLUMNS, *_LABEL_COLUMNS, _SEVERAL_COLUMN, _SPLIT_COLUMN})

_ONE_LABEL = f"for several labels an image, call the column {_SEVERAL_COLUMN} and write cat{SEPARATOR}dog"
_ONE_FILE = "each row names one image file"
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_UNTIDY = re.compile(r"//|(^|/)\./|/$")
_LIST = re.compile(  # as pandas, NumPy and JSON write several values into one cell
    r"""\[\s*\]|\[\s*['"].*['"]\s*\]|\[\s*-?\d[-+\d\s.,e]*\]|[({]\s*['"].*[)}]"""
)
_WHOLE = re.compile(r"([+-]?\d+)(\.0*)?", re.ASCII)


class _Row(NamedTuple):
    path: str  # relative to the source's root
    labels: tuple[str, ...]  # one, unless the table says that an image may have several
    part: str  # train, validation, test or unsplit
    line: int
    several: bool  # whether the table says so
    classes: tuple[str, ...] = ()  # of a table with a column for each; one object for all of its rows


class _Columns(NamedTuple):
    path: str
    labels: Callable[[Record], tuple[str, ...]]  # of a row
    several: bool
    has_split: bool
    classes: tuple[str, ...] = ()


class Metadata(NamedTuple):
    """The metadata tables of a folder.

    Arguments:
        labelling: "unsplit", or parts, to the table that labels their images.
        ignored: the other tables, each with the reason.
        unlabelled: part to folder for those parts that no table labels, where a table labels another.
    """

    labelling: dict[str, Path]
    ignored: dict[Path, str]
    unlabelled: dict[str, Path]

    def notes(self, folder: Path) -> list[str]:
        """Return a note on each table that is ignored."""
        return [f"{printable(str(table.relative_to(folder)))} {why}" for table, why in self.ignored.items()]


def find_metadata(folder: Path) -> Metadata:
    """Return the metadata tables in a folder, or in the folders of its parts, and which of them label images."""
    ignored: dict[Path, str] = {}
    own = _labelling_in(folder, ignored)
    if own is not None:
        return Metadata({"unsplit": own}, ignored, {})
    parts = _parts_in(folder)
    found = {part: _labelling_in(inner, ignored) for part, inner in parts.items()}
    labelling = {part: table for part, table in found.items() if table is not None}
    unlabelled = {part: parts[part] for part in parts if labelling and part not in labelling}
    return Metadata(labelling, ignored, unlabelled)


def read_table(path: str | Path) -> Source:
    """Read a table of paths and labels.

    Arguments:
        path: a .csv, .tsv or .jsonl file.

    Returns:
        A Source with the parts of the split column, or `unsplit`.

    Raises:
        FormatError: columns or values are missing, or the text is damaged; the message names the line.
        DataError: none of the files is there.

    Example:
        source = read_table("labels.csv")    # path,label
    """
    path = expanded(path)
    tables = {"unsplit": path}
    return _source(path.parent, path.name, tables, complete=path.name.lower() in METADATA_NAMES)


def read_metadata(folder: str | Path, *, others: Collection[str] = ()) -> Source:
    """Read a folder with a metadata table, or with one in each part's folder.

    Arguments:
        folder: where the tables are.
        others: folders directly in it that something else labels, so that no note calls them ignored.

    Raises:
        FormatError, DataError: as `read_table`; no table labels images.
    """
    folder = expanded(folder)
    found = find_metadata(folder)
    # A table that labels nothing is read for its error, which says what columns are needed.
    tables = found.labelling or {"unsplit": next(iter(found.ignored), folder / METADATA_NAMES[0])}
    source = _source(folder, folder.resolve().name, tables, complete=True, others=others)
    ignored = {table: why for table, why in found.ignored.items() if table not in tables.values()}
    return replace(source, notes=(*found._replace(ignored=ignored).notes(folder), *source.notes))


def _labelling_in(folder: Path, ignored: dict[Path, str]) -> Path | None:
    """Return the first metadata table directly in a folder that labels images; the others go to `ignored`."""
    labelling = None
    for table in _metadata_in(folder):
        reason = _foreign(table)
        if reason is None and labelling is None:
            labelling = table
        else:
            ignored[table] = f"{reason or f'is not needed beside {labelling and labelling.name}'}, and is ignored"
    return labelling


def _foreign(table: Path) -> str | None:
    """Return why a metadata table labels no images; None if it does, or tries to and is damaged."""
    try:
        names = read_columns(table, _KEYS)
    except FormatError as error:
        try:
            if None not in _key_columns(first_line_names(table, _KEYS)):
                return None
        except OSError:  # what it says is not known, so it must not be passed over
            return None
        reason = error.message.removeprefix(printable(str(table))).lstrip(",: ")
        return f"cannot be read as a table of labels ({reason})"
    if None not in _key_columns(names):
        return None
    columns = f"columns {listed(map(repr, names))}" if names else "it is empty"
    return f"labels no images ({columns})"


def _metadata_in(folder: Path) -> list[Path]:
    return [folder / name for name in METADATA_NAMES if os.path.isfile(folder / name)]  # noqa: PTH113 - raises nothing


def _parts_in(folder: Path) -> dict[str, Path]:
    walk = Walk(folder)
    names = [name for name in walk.folders() if (part := part_name(name)) is not None and not part.rest]
    exact = [name for name in names if name.lower() in SPLIT_NAMES]
    if not any(_metadata_in(folder / name) for name in names):
        return {}
    return {part: folder / name for part, name in named_parts(walk, exact or names).items()}


# -- rows --------------------------------------------------------------------------------------------------------------


def _rows(table: Path, root: Path, part: str) -> Iterator[_Row]:
    """Yield the rows of one table; those of a table with a split column say their part themselves."""
    prefix = table.parent.relative_to(root).as_posix()
    columns: _Columns | None = None
    known: dict[tuple[str, ...], tuple[str, ...]] = {}  # one object for equal labels, however many rows have them
    for record in read_records(table, _KEYS):
        if columns is None:
            columns = _columns(table, record)
        path = _path(table, record, columns.path)
        labels = columns.labels(record)
        if columns.has_split:
            value = _text(table, record, _SPLIT_COLUMN)
            named = part_name(value)
            if named is None or named.rest:
                names = ", ".join(SPLIT_NAMES)
                raise damage(table, record.line, f"split must be one of {names}, got {value!r}")
            part = named.part
        elif record.values.get(_SPLIT_COLUMN) is not None:
            raise damage(table, record.line, "split is given here, but not in the first line")
        place = posixpath.join(prefix, path) if prefix != "." else path
        yield _Row(place, known.setdefault(labels, labels), part, record.line, columns.several, columns.classes)
    if columns is None:
        header = read_columns(table, _KEYS)
        if header and None in _key_columns(header):
            raise _without_columns(table, 1, header)
        raise FormatError(f"{table}: the table has no rows ({table.stat().st_size:,} bytes)")


def _key_columns(names: Iterable[str]) -> tuple[str | None, str | None]:
    found = set(names)
    path = next((name for name in _PATH_COLUMNS if name in found), None)
    return path, next((name for name in (*_LABEL_COLUMNS, _SEVERAL_COLUMN) if name in found), None)


def _columns(table: Path, record: Record) -> _Columns:
    names = list(record.values)
    path, label = _key_columns(names)
    has_split = _SPLIT_COLUMN in names
    if path is not None and label == _SEVERAL_COLUMN:
        return _Columns(path, lambda row: _labels(table, row), True, has_split)
    if path is not None and label is not None:
        return _Columns(path, lambda row: (_label(table, row, label),), False, has_split)
    others = frozenset({path or "", _SPLIT_COLUMN})
    classes = None if path is None else indicator_columns(table, record, others)
    if path is None or not classes:
        raise _without_columns(table, 1, names, record)
    for name in classes.values():
        if SEPARATOR in name:
            raise damage(table, 1, f"a column is called {name[:40]!r}", f"{SEPARATOR} stands between labels")
        _label(table, Record(1, {_COLUMN: name}), _COLUMN)  # a class can have this name
    read = partial(indicated, table, columns=classes, others=others)
    return _Columns(path, read, True, has_split, tuple(classes.values()))


def _without_columns(table: Path, line: int, names: list[str], record: Record | None = None) -> FormatError:
    path, label = _key_columns(names)
    odd = [] if record is None else others_than_indicators(record, {*_PATH_COLUMNS, _SPLIT_COLUMN})
    if any(has_image_ending(name) for name in names):
        hint = f"line {line} names an image: put a line above it that names the columns, such as: path,label"
    elif path is not None and odd:
        hint = f"where each class has a column of 0 and 1, remove columns that are none, such as {printable(odd[0])}"
    elif path is not None and label is None:
        hint = "call the column of classes: label"
    elif label is not None and path is None:
        hint = "call the column of files: path"
    else:
        hint = "the first line names the columns, such as: path,label"
    return damage(
        table,
        line,
        f"needs a column {'|'.join(_PATH_COLUMNS)} and a column {'|'.join(_LABEL_COLUMNS)}, "
        f"found {listed(map(repr, names), 8)}",
        hint,
    )


def _text(table: Path, record: Record, column: str) -> str:
    """Return a value of a row as text, which is not empty."""
    value = record.values.get(column)
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        hint = _ONE_LABEL if column in _LABEL_COLUMNS else _ONE_FILE if column in _PATH_COLUMNS else None
        raise damage(table, record.line, f"{column} must be text or a number, got {kind}", hint)
    if isinstance(value, float):
        if not math.isfinite(value):
            named = {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
            raise damage(table, record.line, f"{column} is {named}", "fill it in, or remove the line")
        value = int(value) if value.is_integer() and abs(value) < 1e15 else value
    text = "" if value is None else str(value).strip()
    if not text:
        raise damage(table, record.line, f"{column} is empty", "fill it in, or remove the line")
    return text


def _path(table: Path, record: Record, column: str) -> str:
    path = _text(table, record, column)
    if not _can_be_path(path):
        raise damage(table, record.line, f"no file can have this name: {path[:80]!r}")
    if _DRIVE.match(path):
        return path
    path = path.replace("\\", "/")
    return Path(path).as_posix() if _UNTIDY.search(path) else path


def _can_be_path(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def _labels(table: Path, record: Record) -> tuple[str, ...]:
    """Return the labels of an image that may have several, or none, each once."""
    value = record.values.get(_SEVERAL_COLUMN)
    if isinstance(value, list):
        for entry in value:
            if isinstance(entry, str) and SEPARATOR in entry:
                what = f"{_SEVERAL_COLUMN} holds {entry[:40]!r}"
                raise damage(table, record.line, what, f"a label has no {SEPARATOR}, which stands between labels")
        entries = value
    elif value is None or not str(value).strip():
        entries = []
    else:
        entries = _text(table, record, _SEVERAL_COLUMN).split(SEPARATOR)
    single = (_label(table, Record(record.line, {_SEVERAL_COLUMN: entry}), _SEVERAL_COLUMN) for entry in entries)
    return tuple(dict.fromkeys(single))


def _label(table: Path, record: Record, column: str) -> str:
    label = _text(table, record, column)
    if len(label) > LONGEST_LABEL:
        what = f"{column} has {len(label):,} characters, at most {LONGEST_LABEL} are allowed: {label[:40]!r}…"
        raise damage(table, record.line, what, "a label is the name of a class, not a description of an image")
    if "\n" in label or "\r" in label:
        raise damage(table, record.line, f"{column} runs over several lines: {label[:40]!r}", "a quote may be missing")
    try:
        label.encode()
    except UnicodeEncodeError:
        raise damage(table, record.line, f"{column} is not valid text: {label!r}") from None
    if "\0" in label:
        raise damage(table, record.line, f"{column} contains a NUL character: {label!r}")
    if label[0] in "[({" and _LIST.fullmatch(label):
        raise damage(table, record.line, f"{column} is written as a list: {label[:40]!r}", _ONE_LABEL)
    return label


# -- the whole ---------------------------------------------------------------------------------------------------------


def _source(root: Path, name: str, tables: dict[str, Path], *, complete: bool, others: Collection[str] = ()) -> Source:
    rows = [row for part, table in tables.items() for row in _rows(table, root, part)]
    if not any(os.path.exists(root / row.path) for row in rows):  # noqa: PTH110 - raises nothing
        raise _none_there(root, name, rows)
    classes = {id(row.classes): row.classes for row in rows}.values()  # which no row may have
    spelt = {label: label for label in {label for row in rows for label in row.labels}.union(*classes)}
    if all(_WHOLE.fullmatch(label) for label in spelt):
        spelt = {label: label.partition(".")[0] for label in spelt}
    names = in_order(set(spelt.values()))
    index = {label: i for i, label in enumerate(names)}
    several = any(row.several for row in rows)
    notes = []
    if several and len(names) > 1 and all(row.classes and len(row.labels) == 1 for row in rows):
        several = False
        notes.append(f"each image has a 1 in exactly one of {len(names):,} columns, so that it has one class")
    if not names:
        raise FormatError(f"{root / name}: no image has a label", hint=f"fill in the column {_SEVERAL_COLUMN}")
    parts: dict[str, Dataset] = {}
    for part in ("train", "validation", "test", "unsplit"):
        chosen = [(row.path, tuple(index[spelt[label]] for label in row.labels)) for row in rows if row.part == part]
        if chosen:
            samples: list[Sample] = [*chosen] if several else [(path, label) for path, (label,) in chosen]
            parts[part] = FileDataset(root, samples, names)
    return Source(
        name,
        "table of files",
        train=parts.get("train"),
        validation=parts.get("validation"),
        test=parts.get("test"),
        unsplit=parts.get("unsplit"),
        notes=(*notes, *(map(printable, _beside(root, tables, rows, others)) if complete else ())),
    )


def _beside(root: Path, tables: dict[str, Path], rows: list[_Row], others: Collection[str]) -> list[str]:
    """Return notes on what lies in a folder beside the images that its metadata tables list."""
    walk = Walk(root)
    left_out = LeftOut()
    folders = [table.parent.relative_to(root).as_posix() for table in tables.values()]
    found = {path for folder in folders for path in walk.images("" if folder == "." else folder, left_out)}
    missing = sorted(found.difference(posixpath.normpath(row.path) for row in rows))
    left_out.others.clear()
    notes = left_out.notes()
    if missing:
        names = listed(table.relative_to(root).as_posix() for table in tables.values())
        few = f"{len(missing):,} of {len(found):,} images"
        notes.append(f"{few} in the folder are not in {names} and are left out: {listed(missing)}")
    if "unsplit" not in tables:
        known = {*folders, *others}
        bare = [name for name in walk.folders() if name not in known and walk.holds_images(name)]
        if bare:
            notes.append(f"{listed(bare)} ignored: no table of labels there, unlike in {listed(folders)}")
    return notes


def _none_there(root: Path, name: str, rows: list[_Row]) -> DataError:
    first = rows[0]
    place = first.path if _DRIVE.match(first.path) else root / first.path
    return DataError(
        f"{name}: none of its {len(rows):,} files exists; the first is {place} (line {first.line})",
        hint=_place_of(root, first.path) or "paths are relative to the table",
    )


def _place_of(root: Path, path: str) -> str | None:
    """Return a hint on where a file may lie that is not where a table says."""
    parts = path.replace("\\", "/").split("/")
    for start in range(1, len(parts)):  # a path of another computer, or relative to another folder
        tail = "/".join(parts[start:])
        if tail and os.path.isfile(root / tail):  # noqa: PTH113
            return f"{root / tail} exists: paths are relative to the table, such as {tail}"
    walk = Walk(root)
    near = posixpath.dirname(path) if not _DRIVE.match(path) else ""
    for image in walk.entries(near).images if not near.startswith("/") else ():
        if image.rpartition(".")[0] == parts[-1]:
            return f"{posixpath.join(near, image)} exists: paths need the file extension"
    places = [f"{name}/{parts[-1]}" for name in walk.folders() if parts[-1] in walk.entries(name).images]
    if places:
        return f"found {listed(places)}: paths include the folder, and are relative to the table"
    return None
