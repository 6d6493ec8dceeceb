"""One column a class: tables that say with 0 and 1, in a column for each class, which of them an image shows.

    path,cat,dog,sofa
    a.jpg,1,0,1

A table is read so where it has no column of labels, and every column but those of paths and parts begins with a 0 or a
1 (or true, false). From then on each must hold one of these in every row: a number left out, or the -1 that some sets
have for "not sure", is for the table's owner to decide. A column without a name is passed over: pandas numbers its rows
there.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from neocog.data.records import Record, damage, spelt_columns

_YES = frozenset({"1", "1.0", "true"})
_NO = frozenset({"0", "0.0", "false"})


def indicator_columns(table: Path, first: Record, others: Collection[str]) -> dict[str, str] | None:
    """Return the columns of a table that stand for classes: name in lower case → name as it is written; None where
    another column holds something else.

    Arguments:
        table: the file.
        first: its first row.
        others: columns that say something else, such as the path; in lower case.

    Raises:
        FormatError: two columns have the same name.
    """
    columns = [name for name in first.values if name and name not in others]
    if not columns or any(_answer(first.values[name]) is None for name in columns):
        return None
    spelt = [name for name in spelt_columns(table, others) if name.lower() in columns]
    twice = [name for name, times in Counter(map(str.lower, spelt)).items() if times > 1]
    if twice:
        raise damage(table, 1, f"two columns are called {twice[0]!r}", "rename one of them")
    return {name.lower(): name for name in spelt}


def indicated(table: Path, record: Record, columns: Mapping[str, str], others: Collection[str]) -> tuple[str, ...]:
    """Return the classes that a row says 1 of.

    Arguments:
        table, others: as above.
        record: the row.
        columns: as `indicator_columns` gave them.

    Raises:
        FormatError: a column holds neither 0 nor 1, or was not there in the first row; the message names the line.
    """
    found = []
    for name, label in columns.items():
        value = record.values.get(name)
        answer = _answer(value)
        if answer is None:
            got = "nothing" if value is None or value == "" else repr(value)[:40]
            raise damage(
                table,
                record.line,
                f"{label} must be 0 or 1, got {got}",
                "each column but the path stands for a class: remove those that do not, and decide what is not known",
            )
        if answer:
            found.append(label)
    new = [name for name in record.values if name and name not in columns and name not in others]
    if new:  # of JSON lines
        raise damage(table, record.line, f"{new[0]} is given here, but not in the first line")
    return tuple(found)


def others_than_indicators(first: Record, others: Collection[str]) -> list[str]:
    """Return which columns keep a table with ones and zeros from being read as one column a class."""
    columns = [name for name in first.values if name and name not in others]
    odd = [name for name in columns if _answer(first.values[name]) is None]
    return odd if len(odd) < len(columns) else []


def _answer(value: object) -> bool | None:
    """Return what a cell says: yes, no, or None for something else."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    text = str(value).strip().lower()
    return True if text in _YES else False if text in _NO else None
