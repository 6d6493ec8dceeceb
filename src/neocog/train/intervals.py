"""How far a share that was counted on some images may be from the share of all: confidence intervals of 95 %.

They hold for images drawn at random from those that the model will meet, and not used to choose it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CONFIDENCE = 0.95
_Z = 1.959963984540054  # the normal distribution's quantile of (1 + CONFIDENCE) / 2

Interval = tuple[float, float]


def wilson_interval(right: int, images: int) -> Interval:
    """Return the interval of a share, where `right` of `images` were counted. Unlike the usual ± it stays in [0, 1],
    and has a width where all or none were counted. (E. B. Wilson, "Probable inference, the law of succession, and
    statistical inference", 1927.)

    Raises:
        ValueError: there are no images.

    >>> [round(end, 3) for end in wilson_interval(81, 90)]
    [0.821, 0.946]
    """
    if images < 1:
        raise ValueError(f"an interval needs at least one image, got {images}")
    share, spread = right / images, _Z * _Z / images
    middle = (share + spread / 2) / (1 + spread)
    half = math.sqrt(spread * share * (1 - share) + spread * spread / 4) / (1 + spread)
    # where all or none were counted, the end is the share itself, but for rounding
    low = 0.0 if right == 0 else max(0.0, middle - half)
    return low, 1.0 if right == images else min(1.0, middle + half)


def mean_interval(counts: Sequence[tuple[int, int]]) -> Interval:
    """Return the interval of the mean of independent shares, such as the macro recall.

    The distances from each share to the ends of its Wilson interval add up as standard deviations do, those below and
    those above apart (Zou, Huang and Zhang, "A note on confidence interval estimation for a linear function of binomial
    proportions", 2009). Of one share it is the Wilson interval.

    Arguments:
        counts: (right, images) of each share, with at least one image.

    >>> [round(end, 3) for end in mean_interval([(9, 10), (80, 90)])]
    [0.737, 0.942]
    """
    below = above = total = 0.0
    for right, images in counts:
        share, (low, high) = right / images, wilson_interval(right, images)
        total += share
        below += (share - low) ** 2
        above += (high - share) ** 2
    mean = total / len(counts)
    return max(0.0, mean - math.sqrt(below) / len(counts)), min(1.0, mean + math.sqrt(above) / len(counts))
