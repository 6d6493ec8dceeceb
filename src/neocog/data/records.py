"""Tables as text: the lines of a CSV or JSON-lines file as records, with the number of the line that each begins on.

    CSV           separated by , ; tab or |, as fits the header; or as Excel's line "sep=;" says
    JSON lines    one object a line

UTF-8, with or without a byte order mark, or UTF-16 with one (Excel's "Unicode text"). Whatever cannot be read for sure
is refused with its line: a row with more cells than the header would shift its values, a quote that is never closed
would swallow rows. Files, lines and rows are bounded, and nothing but a regular file is opened.
"""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TextIO

from neocog.errors import FormatError
from neocog.reading import open_file

MOST_BYTES = 1 << 30  # of a table; ImageNet's 1.3 million rows take 0.1 GB
MOST_CHARACTERS = 1 << 22  # of a line
MOST_ROWS = 20_000_000

_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SEPARATOR_LINE = re.compile(r'\s*"?sep=(.)"?\s*', re.IGNORECASE)
_JSON_ENDING = ".jsonl"
_AS_UTF8 = "save the table as CSV UTF-8"
_ONE_OBJECT = "JSON lines hold one object per line, not one list of all"


class Record(NamedTuple):
    """One row: the line that it begins on, and column to value; names of columns in lower case."""

    line: int
    values: dict[str, object]


def read_records(table: Path, keys: Collection[str] = ()) -> Iterator[Record]:
    """Yield the rows of a table; blank ones are passed over.

    Arguments:
        table: a file; JSON lines if its name ends in .jsonl, else CSV.
        keys: names of columns that matter: the header is parted so that most of them are found, and none of them may
            come twice.

    Raises:
        FormatError: the file cannot be read or is damaged; the message names the line.
    """
    with _opened(table) as text:
        records = _json_records(table, text) if _is_json(table) else _csv_records(table, text, keys)
        for number, record in enumerate(records):
            if number == MOST_ROWS:
                raise damage(table, record.line, f"more than {MOST_ROWS:,} rows")
            yield record


def read_columns(table: Path, keys: Collection[str] = ()) -> list[str]:
    """Return the names of a table's columns in lower case; for JSON lines those of the first object.

    Raises:
        FormatError: as `read_records`.
    """
    with _opened(table) as text:
        if _is_json(table):
            return next(([*record.values] for record in _json_records(table, text)), [])
        return _header(table, _lines(table, text), keys).names


def spelt_columns(table: Path, keys: Collection[str] = ()) -> list[str]:
    """Return the same names as `read_columns`, as they are written.

    Raises:
        FormatError: as `read_records`.
    """
    with _opened(table) as text:
        lines = _lines(table, text)
        if not _is_json(table):
            return _header(table, lines, keys).spelt
        first = next((line for line in lines if line.strip()), "{}")
        return [str(name).strip() for name in json.loads(first)]


def first_line_names(table: Path, keys: Collection[str]) -> set[str]:
    """Return which of the keys a table's first line names, as far as damaged text or an odd encoding lets one see.

    Raises:
        OSError: the file cannot be read.
    """
    with open_file(table, MOST_BYTES) as file:
        head = file.readline(MOST_CHARACTERS)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            head = head.replace(b"\0", b"")
    line = head.decode("utf-8-sig", errors="replace")
    if _is_json(table):
        names = re.findall(r'"([^"]*)"\s*:', line)
    else:
        names = re.split("[" + "".join(map(re.escape, _DELIMITERS)) + "]", line)
    return {name.strip(' \t\r\n"\ufeff\ufffd').lower() for name in names}.intersection(keys)


def damage(table: Path, line: int, what: str, hint: str | None = None) -> FormatError:
    """Return the error for something wrong on a line."""
    return FormatError(f"{table}, line {line}: {what}", hint=hint)


def _is_json(table: Path) -> bool:
    return table.suffix.lower() == _JSON_ENDING


@contextmanager
def _opened(table: Path) -> Iterator[TextIO]:
    try:
        with open_file(table, MOST_BYTES) as file:
            head = file.read(4)
            file.seek(0)
            if head.startswith(b"PK\3\4"):
                raise FormatError(f"{table}: this is a workbook or an archive, not text", hint=_AS_UTF8)
            wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            yield io.TextIOWrapper(file, encoding="utf-16" if wide else "utf-8-sig", newline="")
    except UnicodeError as error:
        raise _not_text(table, error) from error
    except OSError as error:
        raise FormatError(f"{table}: the file cannot be read: {error.strerror or error}") from error


def _not_text(table: Path, error: UnicodeError) -> FormatError:
    """Return the error for text in another encoding. Text is decoded ahead: reading again finds the line."""
    if isinstance(error, UnicodeDecodeError) and error.encoding.startswith("utf-16"):
        return FormatError(
            f"{table}: not UTF-16 text, although it begins with its byte order mark: {error.reason}", hint=_AS_UTF8
        )
    place, byte = str(table), ""
    with open_file(table, MOST_BYTES) as file:
        for number, line in enumerate(iter(lambda: file.readline(MOST_CHARACTERS), b""), 1):
            try:
                line.decode()
            except UnicodeDecodeError as here:
                place, byte = f"{table}, line {number}", f" (byte 0x{line[here.start]:02X})"
                break
    return FormatError(f"{place}: not UTF-8 text{byte}", hint=_AS_UTF8)


def _lines(table: Path, text: TextIO) -> Iterator[str]:
    for number in itertools.count(1):
        line = text.readline(MOST_CHARACTERS + 1)
        if len(line) > MOST_CHARACTERS:
            raise damage(table, number, f"more than {MOST_CHARACTERS:,} characters in a line: not a table of images")
        if not line:
            return
        yield line


# -- JSON lines --------------------------------------------------------------------------------------------------------


def _json_records(table: Path, text: TextIO) -> Iterator[Record]:
    for number, line in enumerate(_lines(table, text), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except RecursionError:
            raise damage(table, number, "JSON nested too deeply") from None
        except ValueError as error:  # not JSON, or a number with thousands of digits
            hint = _ONE_OBJECT if number == 1 and line[0] == "[" else None
            raise damage(table, number, f"not valid JSON: {error}", hint) from error
        if not isinstance(record, dict):
            hint = _ONE_OBJECT if isinstance(record, list) else None
            raise damage(table, number, f"expected a JSON object, got {line.strip()[:40]}", hint)
        yield Record(number, {str(name).strip().lower(): value for name, value in record.items()})


# -- CSV ---------------------------------------------------------------------------------------------------------------


class _Header(NamedTuple):
    line: int
    spelt: list[str]  # the names as they are written
    delimiter: str

    @property
    def names(self) -> list[str]:
        """The names in lower case."""
        return [name.lower() for name in self.spelt]


def _header(table: Path, lines: Iterator[str], keys: Collection[str]) -> _Header:
    told = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        separator = _SEPARATOR_LINE.fullmatch(line)
        if separator is not None and told is None:
            told = separator[1]
            continue
        ways = [(_cells(line, delimiter), delimiter) for delimiter in ([told] if told else _DELIMITERS)]
        found = [_Header(number, *way) for way in ways]
        header = max(found, key=lambda header: (len({*header.names}.intersection(keys)), len(header.names)))
        if not header.spelt:
            raise damage(table, number, "not valid CSV: a quote is not closed")
        twice = [name for name, count in Counter(header.names).items() if count > 1 and name in keys]
        if twice:
            raise damage(table, number, f"two columns are called {twice[0]!r}", "rename one of them")
        return header
    return _Header(0, [], ",")


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter, skipinitialspace=True, strict=True))
    except csv.Error:
        return []
    return [cell.strip() for cell in cells]


def _csv_records(table: Path, text: TextIO, keys: Collection[str]) -> Iterator[Record]:
    lines = _lines(table, text)
    header = _header(table, lines, keys)
    reader = csv.reader(lines, delimiter=header.delimiter, skipinitialspace=True, strict=True)
    names = header.names
    line = header.line + 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            hint = "a closing quote may be missing"
            raise damage(table, line, f"not valid CSV: {error}", hint) from error
        if cells is None:
            return
        if any(cell.strip() for cell in cells):
            if any(cell.strip() for cell in cells[len(names) :]):
                raise _too_many(table, line, cells, header)
            yield Record(line, dict(itertools.zip_longest(names, cells[: len(names)])))
        line = header.line + reader.line_num + 1


def _too_many(table: Path, line: int, cells: list[str], header: _Header) -> FormatError:
    name = _DELIMITERS.get(header.delimiter, repr(header.delimiter))
    example = "" if header.delimiter == "\t" else f', such as "a{header.delimiter} b"'
    return damage(
        table,
        line,
        f"{len(cells)} cells, but line {header.line} names {len(header.names)} columns; the last cell is {cells[-1]!r}",
        f"text that contains a {name} needs quotes around it{example}",
    )
