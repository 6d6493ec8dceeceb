"""From which probability on an image is given a label, where it may have several.

A half is right where probabilities are, and accuracy is what counts. Rare labels seldom come to a half, though, and are
then never given. So each label may have a threshold of its own: the one that gives the largest F1 (the harmonic mean of
precision and recall) on images that the network was not trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.errors import SettingError, ShapeError
from neocog.nn.limits import is_number, shown

HALF = 0.5
"""The threshold of labels that have none of their own."""

LEAST_IMAGES = 5
"""Images that must have a label before its threshold is fitted: fewer would set it by chance."""

Thresholds = tuple[float, ...]


def sigmoid(logits: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return the probability of each logit by itself, computed in float64 and rounded, so that equal logits give equal
    probabilities whatever the engine.

    >>> sigmoid(np.array([0.0, -1000.0], np.float32)).tolist()
    [0.5, 0.0]
    """
    values = logits.astype(np.float64)
    small = np.exp(-np.abs(values))
    probabilities: NDArray[np.float32] = (np.where(values >= 0, 1.0, small) / (1.0 + small)).astype(np.float32)
    return probabilities


def given_labels(probabilities: NDArray[np.float32], thresholds: Sequence[float] | None = None) -> NDArray[np.bool_]:
    """Return which labels are given: those of a probability above their threshold.

    Arguments:
        probabilities: (..., labels).
        thresholds: one for each label; None: a half.

    >>> given_labels(np.array([[0.5, 0.25]], np.float32), [0.5, 0.2]).tolist()
    [[False, True]]
    """
    # In float64: a threshold between two neighbouring float32 values must tell them apart.
    found: NDArray[np.bool_] = probabilities.astype(np.float64) > (HALF if thresholds is None else np.array(thresholds))
    return found


def check_thresholds(values: float | Sequence[float], labels: int) -> Thresholds:
    """Return thresholds, one number for all labels or one for each, as a tuple.

    Raises:
        SettingError: they are no numbers from 0 to 1.
        ShapeError: they are not as many as the labels.
    """
    entries: Any = [values] * labels if is_number(values) else values
    if not isinstance(entries, Sequence | np.ndarray) or not all(is_number(v) and 0 <= v <= 1 for v in entries):
        raise SettingError(f"thresholds must be numbers from 0 to 1, got {shown(values)}")
    if len(entries) != labels:
        raise ShapeError(f"thresholds must be as many as the labels, {labels}, got {len(entries)}")
    return tuple(map(float, entries))


def fit_thresholds(probabilities: NDArray[np.float32], truth: NDArray[np.bool_]) -> Thresholds:
    """Return for each label the threshold that gives the largest F1.

    All thresholds between two neighbouring probabilities are alike: it is a half, if a half is among them, else midway.
    Of several best ones it is the nearest to a half; of two that are equally near, the higher. A label that fewer than
    LEAST_IMAGES images have keeps a half.

    Arguments:
        probabilities: (N, labels), of images that the network was not trained on.
        truth: (N, labels) which labels they have.

    >>> probabilities = np.array([[0.1], [0.2], [0.3], [0.2], [0.3], [0.05], [0.4]], np.float32)
    >>> truth = np.array([[0], [1], [1], [1], [1], [0], [1]], bool)
    >>> [round(threshold, 3) for threshold in fit_thresholds(probabilities, truth)]
    [0.15]
    """
    return tuple(_best(probabilities[:, place], truth[:, place]) for place in range(probabilities.shape[1]))


def _best(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """Return the threshold of one label: scores (N,), truth (N,)."""
    having = int(np.count_nonzero(truth))
    if having < LEAST_IMAGES:
        return HALF
    order = np.argsort(-scores, kind="stable")
    falling = scores[order].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)  # equal scores are given together
    right, given = np.cumsum(truth[order])[ends], ends + 1
    f1 = 2 * right / (given + having)
    upper = falling[ends]  # the least score that is given; the threshold is below it, and not below the next score
    lower = np.append(upper[1:], 0.0)
    thresholds = np.where((lower <= HALF) & (upper > HALF), HALF, (lower + upper) / 2)
    reachable = upper > 0  # no threshold gives what has a probability of 0
    if not reachable.any():
        return HALF
    best = thresholds[reachable & (f1 == f1[reachable].max())]
    return float(min(best, key=lambda threshold: (abs(threshold - HALF), -threshold)))
