"""Which image goes to training, validation and test, when the source does not say: its content decides.

The rule. The hash of an image's content and the seed give a number in [0, 1). Of each class, the contents with the
lowest numbers are the test part, the next ones the validation part, the rest is for training: as many as the fractions
of the class say, rounded, and at least one for each part as far as they reach, in the order train, test, validation.
From this follow:

    every class is measured               also a small one, with its share of the images
    equal images stay together            equal content, equal number; also where they carry different labels
    adding an image moves at most two     of its class, one past each border between the parts
    a larger test part keeps the old one  the lowest numbers come first

Contents with several labels are of the first class that any of their images has; images that may have several labels,
of the rarest class among theirs. Why it is so: docs/decisions/0012-stratified-by-content.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.data.compact import distinct
from neocog.errors import DataError, SettingError

_TRAIN, _VALIDATION, _TEST = 0, 1, 2
_PARTS = {"train": _TRAIN, "validation": _VALIDATION, "test": _TEST}


@dataclass(frozen=True, slots=True)
class SplitIndices:
    """Which images went where; each sorted, together every image once."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def split_by_content(
    digests: Sequence[bytes],
    labels: NDArray[np.int64],
    *,
    validation_fraction: float = 0.0,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> SplitIndices:
    """Split images into training, validation and test by the hash of their content, class by class.

    Arguments:
        digests: N hashes of one length; equal ones are equal images.
        labels: (N,) integers from 0, or rows (N, classes) of 0 and 1 where an image may have several labels.
        validation_fraction, test_fraction: of the images of each class; 0 leaves the part empty.
        seed: another seed, another split.

    Returns:
        The indices of each part.

    Raises:
        SettingError: a fraction is outside of [0, 1), both together reach 1, or the seed is negative.
        DataError: as many digests as labels were needed.

    Example:
        >>> labels = np.repeat([0, 1], [90, 10])
        >>> parts = split_by_content([bytes([i]) for i in range(100)], labels, test_fraction=0.2)
        >>> np.bincount(labels[parts.test]).tolist()
        [18, 2]
    """
    check_fractions(validation_fraction, test_fraction)
    check_seed(seed)
    if len(digests) != len(labels):
        raise DataError(f"a split needs one digest per label, got {len(digests):,} digests and {len(labels):,} labels")
    if not len(digests):
        return _indices(np.full(0, _TRAIN))
    contents, content_of = distinct(digests)
    classes = np.full(len(contents), np.iinfo(np.int64).max)
    np.minimum.at(classes, content_of, labels if labels.ndim == 1 else _rarest(labels))
    numbers = np.fromiter((content_number(content.tobytes(), seed) for content in contents), float, len(contents))
    order = np.lexsort((numbers, classes))  # contents are sorted, and stay so where their numbers are equal
    parts = np.full(len(contents), _TRAIN)
    for ordered in np.split(order, np.flatnonzero(np.diff(classes[order])) + 1):
        test, validation = _sizes(len(ordered), test_fraction, validation_fraction)
        parts[ordered[:test]] = _TEST
        parts[ordered[test : test + validation]] = _VALIDATION
    return _indices(parts[content_of])


def kept_parts(
    split: SplitIndices, digests: Sequence[bytes], identifiers: Sequence[str], recorded: Mapping[str, str]
) -> SplitIndices:
    """Return a split in which images that were split before stay where they were, and copies of them go there too.

    Arguments:
        split: of all images; it decides about contents that are new.
        digests: the hash of each image's content.
        identifiers: the name of each image.
        recorded: name of an image → "train", "validation" or "test", as a split.csv has them.
    """
    parts = np.full(len(identifiers), _TRAIN)
    parts[split.validation], parts[split.test] = _VALIDATION, _TEST
    before = {index: _PARTS[recorded[name]] for index, name in enumerate(identifiers) if recorded.get(name) in _PARTS}
    of_content: dict[bytes, int] = {}
    for index, part in before.items():
        of_content.setdefault(digests[index], part)
    for index, digest in enumerate(digests):
        parts[index] = before.get(index, of_content.get(digest, parts[index]))
    return _indices(parts)


def content_number(digest: bytes, seed: int) -> float:
    """Return the number in [0, 1) that content and seed give: 53 bits of BLAKE2b, the same on every machine."""
    mixed = hashlib.blake2b(digest, digest_size=8, key=int(seed).to_bytes(8, "little"), person=b"neocog split").digest()
    return float(int.from_bytes(mixed, "little") >> 11) / float(1 << 53)


def check_fractions(validation_fraction: float, test_fraction: float) -> None:
    """Raise SettingError unless both are in [0, 1) and leave something for training."""
    for name, value in (("validation_fraction", validation_fraction), ("test_fraction", test_fraction)):
        if not 0 <= value < 1:  # also refuses NaN
            raise SettingError(f"{name} needs a number in [0, 1), got {value!r}")
    if validation_fraction + test_fraction >= 1:
        raise SettingError(
            "validation_fraction and test_fraction together need to stay below 1, "
            f"got {validation_fraction} + {test_fraction}",
            hint="nothing would be left for training",
        )


def check_seed(seed: int) -> None:
    """Raise SettingError unless the seed is a whole number from 0 to 2**64 - 1."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 1 << 64:
        raise SettingError(f"seed needs a whole number in 0..2**64-1, got {seed!r}")


def _rarest(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return for each row of labels the one that the fewest images have; the number of labels where it has none."""
    counts = labels.sum(axis=0)
    places = np.where(labels > 0, counts, len(labels) + 1)
    found: NDArray[np.int64] = np.where(labels.any(axis=1), places.argmin(axis=1), labels.shape[1])
    return found


def _sizes(contents: int, test_fraction: float, validation_fraction: float) -> tuple[int, int]:
    """Return how many of a class's contents go to test and to validation.

    >>> [_sizes(contents, 0.1, 0.1) for contents in (1, 2, 3, 16, 100)]
    [(0, 0), (1, 0), (1, 1), (2, 1), (10, 10)]
    """
    room = contents - 1  # one stays for training
    test = validation = 0
    if test_fraction > 0 and room:
        wanted = max(1, _rounded(test_fraction * contents))
        test = min(wanted, room - 1 if validation_fraction > 0 and room > 1 else room)
    if validation_fraction > 0 and room > test:
        both = _rounded((test_fraction + validation_fraction) * contents)
        validation = min(max(1, both - test), room - test)
    return test, validation


def _rounded(number: float) -> int:
    """Return the nearest whole number, of two the larger. (Python's `round` takes the even one.)"""
    return int(number + 0.5)


def _indices(parts: NDArray[np.int64]) -> SplitIndices:
    return SplitIndices(*(np.flatnonzero(parts == part).astype(np.int64) for part in (_TRAIN, _VALIDATION, _TEST)))
