"""Which image goes to training, validation and test, when the source does not say: its content decides.

The rule. The hash of an image's content and the seed give a number in [0, 1). The lowest `test` fraction of that
range is the test part, the next `validation` fraction the validation part, the rest is for training. From this follow:

    equal images stay together            equal content, equal number; also where they carry different labels
    adding images moves nobody            no image's number depends on another image
    a larger test part keeps the old one  the ranges begin at 0

It is stratified in expectation: each class gives each part its fraction, give or take the binomial
sqrt(n * f * (1 - f)) images. An exact balance would need to move images when others come.

The one exception. A class that the rule would leave out of a part hands over the one of its own images that is
nearest to that part's range: the smallest number for test and validation, the largest for training. Parts are filled
in the order train, test, validation, as far as the class has different images. Only classes of a few images (for
10 %, rarely more than 50) are touched, and their images may move when images are added. Images whose content carries
two labels always follow the rule.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.errors import DataError, SettingError

_TRAIN, _VALIDATION, _TEST = 0, 1, 2
_FILL_ORDER = (_TRAIN, _TEST, _VALIDATION)


@dataclass(frozen=True, slots=True)
class SplitIndices:
    """Which images went where; each sorted, together every image once.

    Arguments:
        train, validation, test: indices of images.
        moved: indices of images that the exception moved, see the top of this file.
    """

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    moved: NDArray[np.int64]


def split_by_content(
    digests: Sequence[bytes],
    labels: NDArray[np.int64],
    *,
    validation_fraction: float = 0.0,
    test_fraction: float = 0.0,
    seed: int = 0,
) -> SplitIndices:
    """Split images into training, validation and test by the hash of their content.

    Arguments:
        digests: N hashes; equal ones are equal images.
        labels: (N,) integers from 0: each part gets images of every class, if there are enough. Of rows, for several
            labels an image, only that each part gets images.
        validation_fraction, test_fraction: of the images, in expectation; 0 leaves the part empty.
        seed: another seed, another split.

    Returns:
        The indices of each part.

    Raises:
        SettingError: a fraction is outside of [0, 1), both together reach 1, or the seed is negative.
        DataError: as many digests as labels were needed.

    Example:
        >>> parts = split_by_content([bytes([i]) for i in range(100)], np.zeros(100, np.int64), test_fraction=0.2)
        >>> len(parts.train) + len(parts.test)
        100
    """
    check_fractions(validation_fraction, test_fraction)
    check_seed(seed)
    if len(digests) != len(labels):
        raise DataError(f"a split needs one digest per label, got {len(digests):,} digests and {len(labels):,} labels")
    labels = labels if labels.ndim == 1 else np.zeros(len(labels), np.int64)
    numbers = np.array([content_number(digest, seed) for digest in digests], np.float64)
    parts = np.full(len(numbers), _TRAIN)
    parts[numbers < test_fraction + validation_fraction] = _VALIDATION
    parts[numbers < test_fraction] = _TEST
    wanted = [_TRAIN]
    wanted += [_TEST] if test_fraction > 0 else []
    wanted += [_VALIDATION] if validation_fraction > 0 else []
    moved = _fill_empty_parts(parts, numbers, digests, labels, [part for part in _FILL_ORDER if part in wanted])
    return SplitIndices(
        train=np.flatnonzero(parts == _TRAIN).astype(np.int64),
        validation=np.flatnonzero(parts == _VALIDATION).astype(np.int64),
        test=np.flatnonzero(parts == _TEST).astype(np.int64),
        moved=moved,
    )


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


def _fill_empty_parts(
    parts: NDArray[np.int64],
    numbers: NDArray[np.float64],
    digests: Sequence[bytes],
    labels: NDArray[np.int64],
    wanted: list[int],
) -> NDArray[np.int64]:
    """Move one image (with its copies) into each wanted part that a class misses; changes `parts` in place."""
    if len(wanted) < 2:
        return np.empty(0, np.int64)
    copies: dict[bytes, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        copies[digest].append(index)
    # contents of one label only: moving these changes no other class
    pure: dict[int, list[list[int]]] = defaultdict(list)
    for members in copies.values():
        if len({int(labels[i]) for i in members}) == 1:
            pure[int(labels[members[0]])].append(members)
    moved: list[int] = []
    for label, groups in sorted(pure.items()):
        present = {part: int(np.count_nonzero(parts[labels == label] == part)) for part in wanted}
        for place, part in enumerate(wanted):
            if present[part]:
                continue
            own = {other: [members for members in groups if parts[members[0]] == other] for other in wanted}
            # a part gives when something stays with it, or when its own turn to be filled is still to come
            givers = [other for other in wanted if len(own[other]) > 1 or (own[other] and wanted.index(other) > place)]
            if not givers:
                continue
            giver = max(givers, key=lambda other: len(own[other]))
            choose = max if part == _TRAIN else min
            group = choose(own[giver], key=lambda members: numbers[members[0]])
            parts[group] = part
            moved += group
            present[part] += len(group)
            present[giver] -= len(group)
    return np.array(sorted(moved), np.int64)
