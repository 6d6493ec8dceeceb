"""Names: of classes, from a file's metadata or a text; of layers, from nodes and weights."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from neocog.interop.labels import read_labels
from neocog.nn.limits import MAX_NAMES, fault_of_name

KEYS = ("class_names", "classes", "labels", "names")
"""Entries of a file's metadata that may hold class names."""

_LONGEST = 200  # characters of a layer's name


def names_from(given: Sequence[str] | str | Path | None, metadata: Mapping[str, str], count: int) -> list[str] | None:
    """Return the class names that are given, or that a file's metadata hold, if these are as many as outputs.

    Arguments:
        given: names, or a text file with one a line.
        metadata: key → text; JSON or Python's form of a list, or of a mapping from numbers, or names with commas.
        count: how many outputs there are.

    Raises:
        FormatError: the text file cannot be read, or holds another number of names.

    >>> names_from(None, {"names": "{0: 'cat', 1: 'dog'}"}, 2), names_from(None, {"names": "cat, dog"}, 3)
    (['cat', 'dog'], None)
    """
    if isinstance(given, str | Path):
        return read_labels(given, count)
    if given is not None:
        return list(given)
    for key in KEYS:
        names = _parsed(metadata.get(key, ""))
        if len(names) == count and len(set(names)) == count and all(names):
            return names
    return None


def _parsed(text: str) -> list[str]:
    if not text or len(text) > MAX_NAMES:
        return []
    value: object = text.split(",")
    for parse in (json.loads, ast.literal_eval):  # neither executes anything
        try:
            value = parse(text)
            break
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            continue
    if isinstance(value, dict):
        try:
            value = [value[key] for key in sorted(value, key=int)]
        except (TypeError, ValueError):
            return []
    return [str(name).strip() for name in value] if isinstance(value, list | tuple) else []


def layer_names(wanted: Sequence[str]) -> list[str]:
    """Return names for layers, as near to those wanted as files allow, and each of its own.

    >>> layer_names(["conv1", "block/conv", "conv1", ""])
    ['conv1', 'block.conv', 'conv1_2', 'layer']
    """
    taken: set[str] = set()
    names = []
    for text in wanted:
        plain = "".join(c if c.isprintable() else "_" for c in text.replace("/", "."))[:_LONGEST].strip(".")
        plain = plain if plain and fault_of_name(plain) is None else "layer"
        name, number = plain, 1
        while name in taken:
            number += 1
            name = f"{plain}_{number}"
        taken.add(name)
        names.append(name)
    return names
