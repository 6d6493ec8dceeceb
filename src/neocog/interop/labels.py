"""Class names from a text file with one a line, as they lie about for ImageNet and other data."""

from __future__ import annotations

from pathlib import Path

from neocog.errors import FormatError
from neocog.nn.limits import MAX_NAMES
from neocog.reading import cause_of, expanded, read_text

BACKGROUND = "background"
"""First of the 1,001 labels of TensorFlow's networks, which others leave out."""


def lines_of(path: str | Path) -> list[str]:
    """Return the lines of a text file, without empty ones at its end.

    Raises:
        FormatError: it cannot be read.
    """
    path = expanded(path)
    try:
        text = read_text(path, MAX_NAMES)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {cause_of(error)}") from None
    except ValueError:
        raise FormatError(f"{path} is not a text in UTF-8") from None
    return [line.strip() for line in text.rstrip().splitlines()]


def read_labels(path: str | Path, classes: int) -> list[str]:
    """Return the names of so many classes.

    ImageNet has two of the same name (a crane is a bird, and a machine): of those, all but the first get the number of
    their class, counted from 0. Where there is one name more than classes, and the first is "background", it is left
    out.

    Raises:
        FormatError: the file cannot be read, or holds another number of names, or an empty one.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
    ...     print("background", "crane", "cat", "crane", sep="\\n", file=file, flush=True)
    ...     read_labels(file.name, 3)
    ['crane', 'cat', 'crane (2)']
    """
    names = lines_of(path)
    if len(names) == classes + 1 and names[0] == BACKGROUND:
        names = names[1:]
    if len(names) != classes:
        raise FormatError(
            f"{path} holds {len(names):,} names, and the network is for {classes:,} classes",
            hint="one name a line, in the order of the classes",
        )
    empty = next((place for place, name in enumerate(names, 1) if not name), None)
    if empty is not None:
        raise FormatError(f"{path}: line {empty} is empty", hint="one name a line, in the order of the classes")
    seen: set[str] = set()
    for place, name in enumerate(names):
        names[place] = f"{name} ({place})" if name in seen else name
        seen.add(names[place])
    return names
