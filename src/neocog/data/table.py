"""A table of image files and their labels.

    CSV (also ; or tab)    a header with path|file_name|file|image|filename and label|class|target; optional: split
                           several labels an image: labels, such as cat|dog; nothing where an image has none; or
                           one column a class, of 0 and 1 (see indicators.py)
    JSON lines             the same names as keys, one object a line
    metadata.csv, .jsonl   such a table inside a folder, or one in each of root/{train,val,test} (Hugging Face)

Paths are relative to the table. Labels are names; where all are numbers they are sorted as numbers, so that label 10
follows 9, and whole ones are written as such: pandas writes 1.0 for 1. A split column holds names of parts.py. Damage
is refused with its line (table_rows.py says what a row must be, records.py reads the text). A metadata table labels
images if it has both columns; one that says something else, such as licences, or that cannot be read, is foreign to
the data set.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from neocog.data.classes import in_order
from neocog.data.dataset import Dataset, Source
from neocog.data.files import FileDataset, Sample
from neocog.data.layout import METADATA_NAMES, named_parts
from neocog.data.parts import SPLIT_NAMES, part_name
from neocog.data.records import first_line_names, read_columns
from neocog.data.table_rows import DRIVE, KEYS, SEVERAL_COLUMN, TableRow, key_columns, rows_of
from neocog.data.walk import LeftOut, Walk, listed
from neocog.errors import DataError, FormatError
from neocog.reading import expanded
from neocog.text import printable

TABLE_EXTENSIONS = (".csv", ".tsv", ".jsonl")

_WHOLE = re.compile(r"([+-]?\d+)(\.0*)?", re.ASCII)


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
        names = read_columns(table, KEYS)
    except FormatError as error:
        try:
            if None not in key_columns(first_line_names(table, KEYS)):
                return None
        except OSError:  # what it says is not known, so it must not be passed over
            return None
        reason = error.message.removeprefix(printable(str(table))).lstrip(",: ")
        return f"cannot be read as a table of labels ({reason})"
    if None not in key_columns(names):
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


def _source(root: Path, name: str, tables: dict[str, Path], *, complete: bool, others: Collection[str] = ()) -> Source:
    rows = [row for part, table in tables.items() for row in rows_of(table, root, part)]
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
        raise FormatError(f"{root / name}: no image has a label", hint=f"fill in the column {SEVERAL_COLUMN}")
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


def _beside(root: Path, tables: dict[str, Path], rows: list[TableRow], others: Collection[str]) -> list[str]:
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


def _none_there(root: Path, name: str, rows: list[TableRow]) -> DataError:
    first = rows[0]
    place = first.path if DRIVE.match(first.path) else root / first.path
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
    near = posixpath.dirname(path) if not DRIVE.match(path) else ""
    for image in walk.entries(near).images if not near.startswith("/") else ():
        if image.rpartition(".")[0] == parts[-1]:
            return f"{posixpath.join(near, image)} exists: paths need the file extension"
    places = [f"{name}/{parts[-1]}" for name in walk.folders() if parts[-1] in walk.entries(name).images]
    if places:
        return f"found {listed(places)}: paths include the folder, and are relative to the table"
    return None
