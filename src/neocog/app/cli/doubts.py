"""What a training repeats of `neocog check`, because it makes the result mean less: told before time is spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from neocog.app.cli.errors import note, warn
from neocog.app.cli.output import count
from neocog.data.check import label_conflicts
from neocog.data.dataset import Dataset, DataSplits
from neocog.data.near import Thumbnails, near_pairs, thumbnail
from neocog.data.resize import ImageSize
from neocog.errors import DataError
from neocog.train.pictures import LARGEST_NATIVE_SIDE

SHOWN = 3  # examples
MOST_COMPARED = 20_000  # images; more are compared by `neocog check` alone, which takes its time
FIRST_SIZES, MORE_SIZES = 25, 2000  # images whose size is looked at
USUAL = 0.8  # share of the images that have one size, so that the others are the odd ones


def tell_doubts(splits: DataSplits, sizes: Sequence[ImageSize]) -> None:
    """Warn of labels that contradict each other, and of test images that are nearly copies of training images.

    Arguments:
        splits: the parts, of which memory holds what fits.
        sizes: those at which it may hold them.
    """
    conflicts = label_conflicts(splits)
    if conflicts:
        warn(
            f"the same image has different labels: {count(len(conflicts), 'image')}",
            [" = ".join(f"{name} ({label})" for name, label in group) for group in conflicts[:SHOWN]],
            "no model can be right on both; all are listed by: neocog check DATA",
        )
    measured = "test" if splits.test is not None else "validation"
    _tell_near_copies(splits, measured, sizes)


def _tell_near_copies(splits: DataSplits, measured: str, sizes: Sequence[ImageSize]) -> None:
    parts = dict(splits.items())
    if measured not in parts or sum(map(len, parts.values())) > MOST_COMPARED:
        return
    small = {name: _thumbnails(part, sizes) for name, part in parts.items()}
    own = parts[measured].digests()
    examples: dict[int, str] = {}
    for name, part in parts.items():
        mine, theirs = small[measured], small[name]
        if name == measured or mine is None or theirs is None:
            continue
        digests = part.digests()
        for one, other in near_pairs(mine, theirs):
            if own[one] != digests[other]:  # those that are equal are told already
                examples.setdefault(one, f"{parts[measured].identifiers[one]} ~ {name}: {part.identifiers[other]}")
    if examples:
        warn(
            f"{len(examples):,} of the {len(own):,} {measured} images are nearly copies of images that the training "
            "learns from",
            list(examples.values())[:SHOWN],
            f"the {measured} accuracy will be too optimistic; all are listed by: neocog check DATA",
        )


def _thumbnails(part: Dataset, sizes: Sequence[ImageSize]) -> Thumbnails | None:
    """Return the thumbnails of a part, without decoding any image; None where memory does not hold them."""
    every = np.arange(len(part))
    size = next((size for size in sizes if part.resident(every, size)), None)
    if size is None:
        return None
    images, _ = part.read(every, size)
    return np.stack([thumbnail(image) for image in images])


def tell_odd_sizes(train: Dataset, size: ImageSize) -> None:
    """Say so where a few images of another size are why all are brought to a size that is not that of the most."""
    if train.native_size is not None:
        return
    first = _sizes(train, FIRST_SIZES)
    if not first:
        return
    (height, width), number = Counter(first.values()).most_common(1)[0]
    kept = max(height, width) <= LARGEST_NATIVE_SIDE
    if number < USUAL * len(first) or not kept or (height, width) == (size.height, size.width):
        return
    odd = {index: found for index, found in _sizes(train, MORE_SIZES).items() if found != (height, width)}
    if not odd:
        return
    index = next(iter(odd))
    seen = "" if len(train) <= MORE_SIZES else f" of the {MORE_SIZES:,} looked at"
    note(
        f"most images are {height} x {width} pixels, and would keep that size, but {len(odd):,}{seen} are not, such as "
        f"{train.identifiers[index]} ({odd[index][0]} x {odd[index][1]}): "
        f"all are brought to {size.height} x {size.width}; "
        f"--img-size {height}x{width} brings the others to that of the most"
    )


def _sizes(data: Dataset, most: int) -> dict[int, tuple[int, int]]:
    """Return index → height and width of at most so many images, evenly spread; those that can be read."""
    found = {}
    for index in np.unique(np.linspace(0, len(data) - 1, min(len(data), most)).round().astype(np.int64)):
        try:
            facts = data.facts(int(index))
        except DataError:
            continue  # listed, with all others that cannot be read, before training starts
        found[int(index)] = (facts.height, facts.width)
    return found
