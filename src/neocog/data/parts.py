"""What people call the parts of a data set: names of folders, and values of a table's split column.

    train       also training
    validation  also val, valid, dev
    test        also testing, eval, evaluation

Names are compared without regard to case. A word such as "set" or "images" beside one of these changes nothing:
train_set, "training images", test-data and TestSet are as clear as train and test. Any other word (seg_train,
train2017) makes a name that may mean a part; whether it does, those beside it must tell.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "eval": "test",
    "evaluation": "test",
}
"""Folder name, or value in a table's split column, to the part that it means; in lower case."""

EMPTY_WORDS = frozenset(
    {"set", "sets", "data", "dataset", "datasets", "folder", "split", "part", "subset"}
    | {"image", "images", "img", "imgs", "picture", "pictures", "pics", "photo", "photos"}
)
"""Words that add nothing to the name of a part."""

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")


class PartName(NamedTuple):
    """The part that a name may mean, and the words in it that mean something else, in lower case."""

    part: str
    rest: tuple[str, ...]


def part_name(name: str) -> PartName | None:
    """Return what part a name may mean; None where it names none, or two.

    >>> part_name("Training_Set"), part_name("seg_train"), part_name("train_test"), part_name("terrain")
    (PartName(part='train', rest=()), PartName(part='train', rest=('seg',)), None, None)
    """
    parts, rest = [], []
    for word in words(name):
        part = SPLIT_NAMES.get(word) or _compound(word)
        if part is not None:
            parts.append(part)
        elif word not in EMPTY_WORDS:
            rest.append(word)
    return PartName(parts[0], tuple(rest)) if len(parts) == 1 else None


def words(name: str) -> list[str]:
    """Return the words and numbers of a name, in lower case.

    >>> words("TestSet_2 (old)")
    ['test', 'set', '2', 'old']
    """
    return [word.lower() for word in _WORD.findall(name)]


def _compound(word: str) -> str | None:
    """Return the part of words such as trainset."""
    return next((part for name, part in SPLIT_NAMES.items() if word.removeprefix(name) in EMPTY_WORDS - {word}), None)
