"""What goes to stdout: JSON, tables, and names of files whatever bytes they are made of."""

from __future__ import annotations

import codecs
import io
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from neocog.text import printable


def _for_terminals(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write what the terminal's encoding lacks as escapes: the raw bytes of a file name may be control characters."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = printable(error.object[error.start : error.end])
    return lacking.encode("ascii", "backslashreplace").decode("ascii"), error.end


def _for_programs(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write what the encoding lacks: the raw bytes of a file name as they are, other text escaped."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def prepare_streams() -> None:
    """Make stdout and stderr take any text: a file name on Linux may be any bytes, which no terminal gets raw."""
    if sys.stdin is None:  # a stream that the shell closed, as in `neocog predict … >&-`
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - for the whole process
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the whole process
    if sys.stderr is None:
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - for the whole process
    codecs.register_error("neocog.terminals", _for_terminals)
    codecs.register_error("neocog.programs", _for_programs)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="neocog.terminals" if stream.isatty() else "neocog.programs")


def jsonable(value: Any) -> Any:
    """Return `value` as JSON can hold it: a number that is not finite becomes null, an array a list."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [jsonable(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)


def format_json(value: Any, indent: int | None = 2) -> str:
    """Write `value` as JSON text of ASCII characters."""
    return json.dumps(jsonable(value), indent=indent, allow_nan=False)


def emit(text: str, end: str = "\n") -> None:
    """Write to stdout at once. (click.echo would replace what an ASCII terminal lacks by question marks.)"""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """Print one JSON value on stdout."""
    emit(format_json(value))


def format_table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "") -> str:
    """Lay rows out in columns two spaces apart; the columns in `right` are aligned to the right.

    A cell stays on its line, whatever it holds.

    >>> print(format_table([("cat", "9"), ("horse", "10")], right=[1]))
    cat     9
    horse  10
    """
    rows = [list(map(printable, row)) for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = (
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return (indent + "  ".join(cells)).rstrip()

    return "\n".join(map(line, rows))


def percent(share: float | None) -> str:
    """Write a share as a percentage; nothing where there is none.

    >>> percent(0.98765)
    '98.77 %'
    """
    return "-" if share is None or not math.isfinite(share) else f"{100 * share:.2f} %"


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Write a number with its noun.

    >>> count(1, "image"), count(1200, "image"), count(2, "class", "classes")
    ('1 image', '1,200 images', '2 classes')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
