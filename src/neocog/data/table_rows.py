"""The rows of a table of image files and labels: which columns count, and what each row says.

Damage is refused with its line; records.py reads the text, table.py makes a data set of the rows.
"""

from __future__ import annotations

import math
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from neocog.data.classes import LONGEST_LABEL
from neocog.data.dataset import SEPARATOR
from neocog.data.endings import has_image_ending
from neocog.data.indicators import indicated, indicator_columns, others_than_indicators
from neocog.data.parts import SPLIT_NAMES, part_name
from neocog.data.records import Record, damage, read_columns, read_records
from neocog.data.walk import listed
from neocog.errors import FormatError
from neocog.text import printable

_PATH_COLUMNS = ("path", "file_name", "file", "image", "filename")
_LABEL_COLUMNS = ("label", "class", "target")
SEVERAL_COLUMN = "labels"  # of several labels an image
_SPLIT_COLUMN = "split"
_COLUMN = "a column's name"
KEYS = frozenset({*_PATH_COLUMNS, *_LABEL_COLUMNS, SEVERAL_COLUMN, _SPLIT_COLUMN})
"""Names of columns by which the first line of a table is told."""

_ONE_LABEL = f"for several labels an image, call the column {SEVERAL_COLUMN} and write cat{SEPARATOR}dog"
_ONE_FILE = "each row names one image file"
DRIVE = re.compile(r"[A-Za-z]:[\\/]")
"""How absolute paths of Windows begin."""
_UNTIDY = re.compile(r"//|(^|/)\./|/$")
_LIST = re.compile(  # as pandas, NumPy and JSON write several values into one cell
    r"""\[\s*\]|\[\s*['"].*['"]\s*\]|\[\s*-?\d[-+\d\s.,e]*\]|[({]\s*['"].*[)}]"""
)


class TableRow(NamedTuple):
    """What a row says of an image.

    Arguments:
        path: relative to the source's root.
        labels: one, unless the table says that an image may have several.
        part: train, validation, test or unsplit.
        line: of the table, from 1.
        several: whether the table says that an image may have several labels.
        classes: of a table with a column for each; one object for all of its rows.
    """

    path: str
    labels: tuple[str, ...]
    part: str
    line: int
    several: bool
    classes: tuple[str, ...] = ()


class _Columns(NamedTuple):
    path: str
    labels: Callable[[Record], tuple[str, ...]]  # of a row
    several: bool
    has_split: bool
    classes: tuple[str, ...] = ()


def rows_of(table: Path, root: Path, part: str) -> Iterator[TableRow]:
    """Yield the rows of one table; those of a table with a split column say their part themselves.

    Arguments:
        table: the file, which lies in or below `root`.
        root: the folder that paths of the rows are made relative to.
        part: that of the rows, where there is no split column.

    Raises:
        FormatError: columns or values are missing, or the text is damaged; the message names the line.
    """
    prefix = table.parent.relative_to(root).as_posix()
    columns: _Columns | None = None
    known: dict[tuple[str, ...], tuple[str, ...]] = {}  # one object for equal labels, however many rows have them
    for record in read_records(table, KEYS):
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
        yield TableRow(place, known.setdefault(labels, labels), part, record.line, columns.several, columns.classes)
    if columns is None:
        header = read_columns(table, KEYS)
        if header and None in key_columns(header):
            raise _without_columns(table, 1, header)
        raise FormatError(f"{table}: the table has no rows ({table.stat().st_size:,} bytes)")


def key_columns(names: Iterable[str]) -> tuple[str | None, str | None]:
    """Return which of some columns holds paths, and which labels; None: there is none."""
    found = set(names)
    path = next((name for name in _PATH_COLUMNS if name in found), None)
    return path, next((name for name in (*_LABEL_COLUMNS, SEVERAL_COLUMN) if name in found), None)


def _columns(table: Path, record: Record) -> _Columns:
    names = list(record.values)
    path, label = key_columns(names)
    has_split = _SPLIT_COLUMN in names
    if path is not None and label == SEVERAL_COLUMN:
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
    path, label = key_columns(names)
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
    if DRIVE.match(path):
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
    value = record.values.get(SEVERAL_COLUMN)
    if isinstance(value, list):
        for entry in value:
            if isinstance(entry, str) and SEPARATOR in entry:
                what = f"{SEVERAL_COLUMN} holds {entry[:40]!r}"
                raise damage(table, record.line, what, f"a label has no {SEPARATOR}, which stands between labels")
        entries = value
    elif value is None or not str(value).strip():
        entries = []
    else:
        entries = _text(table, record, SEVERAL_COLUMN).split(SEPARATOR)
    single = (_label(table, Record(record.line, {SEVERAL_COLUMN: entry}), SEVERAL_COLUMN) for entry in entries)
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
