"""What validation images say of a network's probabilities: how sharp they may be, and below which to answer "unknown".

A network's own probabilities are too high: it was trained until they were. Divided by one number, the temperature, its
logits give probabilities that the validation images agree with, and every image keeps its answer. (Guo et al., "On
calibration of modern neural networks", 2017.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from neocog.errors import NeocogError, SettingError

UNKNOWN_NAME = "unknown"
LEAST_TEMPERATURE, LARGEST_TEMPERATURE = 0.01, 100.0
CURVE_POINTS = 200
"""Points that a curve has at most: steps of half a percent of the images."""

_ROWS = 4096  # images whose probabilities are computed at a time
_STEPS = 200  # of the search for a temperature; it needs about ten


class CurvePoint(NamedTuple):
    """How many images were answered with at least a probability, and how many of those answers were right."""

    threshold: float
    answered: int
    right: int


@dataclass(frozen=True, slots=True)
class Reject:
    """Which answers to withhold: so many that a share of images is answered, or that a share of answers is right.

    >>> Reject.parse("coverage=0.9")
    Reject(kind='coverage', share=0.9)
    """

    kind: Literal["coverage", "precision"]
    share: float

    @classmethod
    def parse(cls, text: str) -> Reject:
        """Read "coverage=0.9" or "precision=0.95".

        Raises:
            SettingError: it is neither, or the number is not above 0 and at most 1.
        """
        found = re.fullmatch(r"(coverage|precision)=(\d*\.?\d+)", text.strip())
        if found is None or not 0.0 < float(found[2]) <= 1.0:
            raise SettingError(
                f"reject must be coverage=SHARE or precision=SHARE, with a share above 0 and up to 1, got {text!r}",
                hint="such as coverage=0.9: the least certain tenth of the images is unknown",
            )
        return cls("coverage" if found[1] == "coverage" else "precision", float(found[2]))

    def __str__(self) -> str:
        return f"{self.kind}={self.share:g}"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a network's answers to validation images were worth.

    Arguments:
        temperature: what logits are divided by.
        images: how many validation images there were.
        curve: from the most certain images to all of them.
    """

    temperature: float
    images: int
    curve: tuple[CurvePoint, ...]

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values, as docs/formats.md has them."""
        return {"temperature": self.temperature, "images": self.images, "curve": [list(point) for point in self.curve]}

    def threshold(self, wanted: Reject) -> float:
        """Return the probability below which an answer is withheld: the least for a precision, and the largest for a
        coverage, that gave what is wanted on the validation images.

        Raises:
            NeocogError: no threshold gives the precision.
        """
        # Quotients are rounded as the share was when it was read; 0.28 · 25 is more than 7.
        if wanted.kind == "coverage":
            return next(point.threshold for point in self.curve if point.answered / self.images >= wanted.share)
        good = [point for point in self.curve if point.right / point.answered >= wanted.share]
        if not good:
            best = max(self.curve, key=lambda point: point.right / point.answered)
            raise NeocogError(
                f"no threshold gives a precision of {wanted.share:g} on the {self.images:,} validation images",
                details=(
                    f"the best is {best.right / best.answered:.3f}, where {best.answered / self.images:.1%} of them "
                    "are answered",
                ),
                hint="ask for less",
            )
        return good[-1].threshold


def calibrated(logits: NDArray[np.float32], classes: NDArray[np.int64]) -> Calibration:
    """Return what answers to validation images say.

    Arguments:
        logits: (N, classes), of images that the network was not trained on.
        classes: (N,) the true ones.
    """
    temperature = fit_temperature(logits, classes) or 1.0
    sureness = np.concatenate(
        [softmax(logits[start : start + _ROWS], temperature).max(axis=1) for start in range(0, len(logits), _ROWS)]
    )
    return Calibration(temperature, len(logits), curve_of(sureness, logits.argmax(axis=1) == classes))


def softmax(logits: NDArray[np.generic], temperature: float = 1.0) -> NDArray[np.float32]:
    """Return the probabilities (..., classes) of logits, computed in float64 and rounded, so that equal logits give
    equal probabilities whatever the engine.
    """
    values = logits.astype(np.float64)
    values = (values - values.max(axis=-1, keepdims=True)) / temperature
    shares = np.exp(values)
    probabilities: NDArray[np.float32] = (shares / shares.sum(axis=-1, keepdims=True)).astype(np.float32)
    return probabilities


def fit_temperature(logits: NDArray[np.float32], classes: NDArray[np.int64]) -> float | None:
    """Return the temperature that makes the cross-entropy of some images least; None where none does, as where every
    answer is right: probabilities of one would then be best.

    The cross-entropy is convex in 1 / temperature, so Newton's steps, kept between what is known to be too small and
    too large, find its only minimum.

    Arguments:
        logits: (N, classes).
        classes: (N,) the true ones.
    """
    true = np.take_along_axis(logits, classes[:, None], axis=1)[:, 0].astype(np.float64)
    if not (logits.max(axis=1) - true).sum() > 0 or not (logits.mean(axis=1, dtype=np.float64) - true).sum() < 0:
        return None
    low, high, factor = 0.0, np.inf, 1.0
    for _ in range(_STEPS):
        slope, curvature = _slope(logits, true, factor)
        low, high = (factor, high) if slope < 0 else (low, factor)
        step = factor - slope / curvature if curvature > 0 else 0.0
        if not low < step < high:
            step = (low + high) / 2 if np.isfinite(high) else 2 * factor
        if abs(step - factor) <= 1e-12 * factor:
            break
        factor = step
    temperature = float(1.0 / factor)
    return temperature if LEAST_TEMPERATURE <= temperature <= LARGEST_TEMPERATURE else None


def _slope(logits: NDArray[np.float32], true: NDArray[np.float64], factor: float) -> tuple[float, float]:
    """Return the first and second derivative of the summed cross-entropy of factor · logits in the factor."""
    slope = curvature = 0.0
    for start in range(0, len(logits), _ROWS):
        values = logits[start : start + _ROWS].astype(np.float64)
        shares = np.exp(factor * (values - values.max(axis=1, keepdims=True)))
        shares /= shares.sum(axis=1, keepdims=True)
        means = (shares * values).sum(axis=1)
        slope += float((means - true[start : start + _ROWS]).sum())
        curvature += float((shares * np.square(values - means[:, None])).sum())
    return slope, curvature


def curve_of(
    sureness: NDArray[np.float32], right: NDArray[np.bool_], most: int = CURVE_POINTS
) -> tuple[CurvePoint, ...]:
    """Return accuracy against coverage: from the most certain images to all of them, at most so many points.

    Arguments:
        sureness: (N,) the probability of each image's answer.
        right: (N,) whether it is right.

    >>> curve_of(np.array([0.5, 0.75, 0.5], np.float32), np.array([True, True, False]))
    (CurvePoint(threshold=0.75, answered=1, right=1), CurvePoint(threshold=0.5, answered=3, right=2))
    """
    order = np.argsort(-sureness, kind="stable")
    found, falling = np.cumsum(right[order]), sureness[order]
    ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)  # equally certain images go together
    if len(ends) > most:
        places = np.searchsorted(ends, np.arange(1, most + 1) * len(falling) / most - 1)
        ends = np.unique(ends[np.minimum(places, len(ends) - 1)])
    return tuple(CurvePoint(float(falling[end]), int(end) + 1, int(found[end])) for end in ends)


def is_curve(images: int, points: Sequence[CurvePoint]) -> bool:
    """Whether points may be a curve of so many images: thresholds fall, counts rise, up to all of them."""
    pairs = pairwise(points)
    return (
        bool(points)
        and points[-1].answered == images
        and all(0 <= p.threshold <= 1 and 0 <= p.right <= p.answered and p.answered >= 1 for p in points)
        and all(a.threshold > b.threshold and a.answered < b.answered and a.right <= b.right for a, b in pairs)
    )
