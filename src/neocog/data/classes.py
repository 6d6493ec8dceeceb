"""Names of classes: the order in which labels are numbered, and files that name the numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from neocog.errors import FormatError
from neocog.nn import limits
from neocog.reading import cause_of, read_text

LONGEST_LABEL = 255  # characters; the name of a folder is no longer
CLASS_FILES = ("classes.txt", "classnames.txt", "labels.txt")
"""Names of files beside shards that name the classes: line after line, from number 0."""

_MOST = 1 << 24  # bytes of such a file
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?", re.ASCII)


def in_order(labels: Iterable[str]) -> list[str]:
    """Return labels in the order in which they are numbered: by name, and numbers as numbers.

    >>> in_order({"10", "9"}), in_order({"b", "a", "10"})
    (['9', '10'], ['10', 'a', 'b'])
    """
    names = sorted(labels)
    if all(map(str.isdecimal, names)):  # digits of any script
        names.sort(key=lambda label: (int(label), label))
    elif all(map(_NUMBER.fullmatch, names)):
        names.sort(key=lambda label: (float(label), label))
    return names


def fault_of(label: str) -> str | None:
    """Return what is wrong with a text as the name of a class, to stand behind "the label"; None: nothing.

    >>> fault_of("cat"), fault_of("")
    (None, 'is empty')
    """
    if not label:
        return "is empty"
    if len(label) > LONGEST_LABEL:
        return f"has {len(label):,} characters, at most {LONGEST_LABEL} are allowed: {label[:40]!r}…"
    if not label.isprintable() and ("\n" in label or "\r" in label or "\0" in label):
        return f"is no name of a class: {label[:40]!r}"
    try:
        label.encode()
    except UnicodeEncodeError:
        return f"is not valid text: {label[:40]!r}"
    return None


def read_class_names(folder: Path) -> list[str] | None:
    """Return the names in the first of `CLASS_FILES` that a folder has; None where it has none.

    Raises:
        FormatError: it cannot be read, or its lines are no different names.
    """
    path = next((folder / name for name in CLASS_FILES if (folder / name).is_file()), None)
    if path is None:
        return None
    try:
        names = [line.strip() for line in read_text(path, _MOST).rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise FormatError(f"{path}: not UTF-8 text", hint="save it as UTF-8") from error
    except OSError as error:
        raise FormatError(f"{path}: the file cannot be read: {cause_of(error)}") from error
    for number, name in enumerate(names, 1):
        if (fault := fault_of(name)) is not None:
            raise FormatError(f"{path}, line {number}: the name of a class {fault}")
    if len(set(names)) != len(names) or not 0 < len(names) <= limits.MAX_CLASSES:
        raise FormatError(f"{path}: needs a different name on each line, got {len(names):,} lines")
    return names
