"""A table of image files and their labels.

    CSV (also ; or tab)    a header with path|file_name|file|image|filename and label|class|target; optional: split
    JSON lines             the same names as keys, one object a line
    metadata.csv, .jsonl   such a table inside a folder, or one in each of root/{train,val,test} (Hugging Face)

Paths are relative to the table. Labels are names; where all are whole numbers they are sorted as numbers, so that
label 10 follows 9. A split column holds the names of folder.SPLIT_NAMES.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from neocog.data.dataset import Dataset, Source
from neocog.data.files import FileDataset
from neocog.data.folder import SPLIT_NAMES, split_folders
from neocog.errors import DataError, FormatError

TABLE_EXTENSIONS = (".csv", ".tsv", ".jsonl")
METADATA_NAMES = ("metadata.csv", "metadata.jsonl")

_PATH_COLUMNS = ("path", "file_name", "file", "image", "filename")
_LABEL_COLUMNS = ("label", "class", "target")
_SPLIT_COLUMN = "split"


class _Row(NamedTuple):
    path: str  # relative to the source's root
    label: str
    part: str  # train, validation, test or unsplit


def find_metadata(folder: Path) -> dict[str, Path]:
    """Return the metadata tables of a folder: {"unsplit": table}, or one for each part, or none."""
    own = _metadata_in(folder)
    if own is not None:
        return {"unsplit": own}
    if not any(_metadata_in(path) for path in folder.iterdir() if path.is_dir()):
        return {}
    tables = {part: _metadata_in(inner) for part, inner in split_folders(folder).items()}
    return {part: table for part, table in tables.items() if table is not None}


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
    path = Path(path)
    return _source(path.parent, path.name, list(_rows(path, path.parent, "unsplit")))


def read_metadata(folder: str | Path) -> Source:
    """Read a folder with a metadata table, or with one in each part's folder.

    Raises:
        FormatError, DataError: as `read_table`.
    """
    folder = Path(folder)
    rows = [row for part, table in find_metadata(folder).items() for row in _rows(table, folder, part)]
    return _source(folder, folder.resolve().name, rows)


def _metadata_in(folder: Path) -> Path | None:
    return next((folder / name for name in METADATA_NAMES if (folder / name).is_file()), None)


def _source(root: Path, name: str, rows: list[_Row]) -> Source:
    if not any((root / row.path).exists() for row in rows):
        raise DataError(
            f"{name}: none of its {len(rows):,} files is there, the first is {root / rows[0].path}",
            hint="paths are relative to the table",
        )
    labels = {row.label for row in rows}
    whole_numbers = all(label.isdecimal() for label in labels)
    names = sorted(labels, key=lambda label: (int(label), label)) if whole_numbers else sorted(labels)
    index = {label: i for i, label in enumerate(names)}
    parts: dict[str, Dataset] = {}
    for part in ("train", "validation", "test", "unsplit"):
        samples = [(row.path, index[row.label]) for row in rows if row.part == part]
        if samples:
            parts[part] = FileDataset(root, samples, names)
    return Source(
        name,
        "table of files",
        train=parts.get("train"),
        validation=parts.get("validation"),
        test=parts.get("test"),
        unsplit=parts.get("unsplit"),
    )


def _rows(table: Path, root: Path, part: str) -> Iterator[_Row]:
    """Yield the rows of one table; those of a table with a split column say their part themselves."""
    prefix = table.parent.relative_to(root)
    columns: tuple[str, str, bool] | None = None
    for line, record in _records(table):
        if columns is None:
            columns = _columns(table, record)
        path_column, label_column, has_split = columns
        values = {}
        for column in (path_column, label_column, *([_SPLIT_COLUMN] if has_split else [])):
            values[column] = str(record.get(column) if record.get(column) is not None else "").strip()
            if not values[column]:
                raise FormatError(f"{table}, line {line}: {column} is empty")
        if has_split:
            value = values[_SPLIT_COLUMN]
            if value.lower() not in SPLIT_NAMES:
                raise FormatError(f"{table}, line {line}: split needs one of {', '.join(SPLIT_NAMES)}, got {value!r}")
            part = SPLIT_NAMES[value.lower()]
        yield _Row((prefix / values[path_column].replace("\\", "/")).as_posix(), values[label_column], part)
    if columns is None:
        raise FormatError(f"{table}: the table has no rows ({table.stat().st_size:,} bytes)")


def _columns(table: Path, record: dict[str, object]) -> tuple[str, str, bool]:
    names = list(record)
    path = next((name for name in _PATH_COLUMNS if name in names), None)
    label = next((name for name in _LABEL_COLUMNS if name in names), None)
    if path is None or label is None:
        raise FormatError(
            f"{table}: needs a column {'|'.join(_PATH_COLUMNS)} and a column {'|'.join(_LABEL_COLUMNS)}, "
            f"found {', '.join(map(repr, names)) or 'nothing'}",
            hint="the first line names the columns, such as: path,label",
        )
    return path, label, _SPLIT_COLUMN in names


def _records(table: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield (line number, column to value); column names in lower case."""
    try:
        # utf-8-sig: Excel begins its files with a byte order mark
        with table.open(encoding="utf-8-sig", newline="") as file:
            if table.suffix.lower() == ".jsonl":
                for line, text in enumerate(file, 1):
                    if text.strip():
                        record = json.loads(text)
                        if not isinstance(record, dict):
                            raise FormatError(
                                f"{table}, line {line}: a JSON object was needed, got {text.strip()[:40]}"
                            )
                        yield line, {str(name).strip().lower(): value for name, value in record.items()}
                return
            header = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=header.count)
            reader = csv.DictReader(file, delimiter=delimiter, restkey="", restval=None)
            for row in reader:
                if any(row.values()):
                    yield reader.line_num, {str(name).strip().lower(): value for name, value in row.items()}
    except OSError as error:
        raise FormatError(f"{table}: the file cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{table}: no table in UTF-8 text: {error}") from error
    except json.JSONDecodeError as error:
        raise FormatError(f"{table}, line {line}: no JSON: {error}") from error
