"""Whether probabilities mean what they say: of the answers given with 80 %, are 80 % right?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.model.calibration import CurvePoint, curve_of, softmax
from neocog.train.intervals import wilson_interval

BINS = 15
"""Of equal width, as in Guo et al., "On calibration of modern neural networks", 2017."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The images whose answer has a probability above `low` and up to `high`.

    Arguments:
        images: their number.
        confidence, accuracy: their mean probability, and the share of right answers; None without images.
    """

    low: float
    high: float
    images: int
    confidence: float | None
    accuracy: float | None


def reliability_bins(sureness: NDArray[np.float32], right: NDArray[np.bool_]) -> tuple[ReliabilityBin, ...]:
    """Sort images into BINS bins by the probability of their answer.

    Arguments:
        sureness: (N,) the probabilities.
        right: (N,) whether the answers are right.
    """
    sureness = np.nan_to_num(sureness)  # a NaN is sure of nothing
    places = np.clip(np.ceil(sureness.astype(np.float64) * BINS) - 1, 0, BINS - 1).astype(np.int64)
    images = np.bincount(places, minlength=BINS)
    sums = np.bincount(places, sureness, BINS)
    hits = np.bincount(places, right, BINS)
    return tuple(
        ReliabilityBin(k / BINS, (k + 1) / BINS, int(n), float(sums[k] / n), float(hits[k] / n))
        if n
        else ReliabilityBin(k / BINS, (k + 1) / BINS, 0, None, None)
        for k, n in enumerate(images)
    )


def calibration_error(bins: Sequence[ReliabilityBin]) -> float:
    """Return the expected calibration error: the mean distance of confidence and accuracy, weighted by images."""
    known = [(b.images, b.confidence, b.accuracy) for b in bins if b.confidence is not None and b.accuracy is not None]
    return sum(n * abs(sure - right) for n, sure, right in known) / sum(n for n, _, _ in known)


@dataclass(frozen=True, slots=True)
class Certainty:
    """How far the probabilities of a model's answers can be trusted, and what withholding the least certain is worth.

    Arguments:
        temperature: of the model.
        before, after: bins of the probabilities without a temperature, and with the model's.
        curve: accuracy against the share of images answered, the most certain ones first.
        kept: the answers of at least the probability that the model withholds none from; None where it answers all.
    """

    temperature: float
    before: tuple[ReliabilityBin, ...]
    after: tuple[ReliabilityBin, ...]
    curve: tuple[CurvePoint, ...]
    kept: CurvePoint | None

    @property
    def error_before(self) -> float:
        """Expected calibration error without a temperature."""
        return calibration_error(self.before)

    @property
    def error(self) -> float:
        """Expected calibration error of the probabilities that the model gives."""
        return calibration_error(self.after)

    @property
    def images(self) -> int:
        """All that were asked about."""
        return self.curve[-1].answered

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        return {
            "calibration": {
                "temperature": self.temperature,
                "error_before": self.error_before,
                "error": self.error,
                "bins_before": [asdict(found) for found in self.before],
                "bins": [asdict(found) for found in self.after],
            },
            "coverage_curve": [self._point(point) for point in self.curve],
            "reject": None
            if self.kept is None
            else {
                **self._point(self.kept),
                "accuracy_interval": list(wilson_interval(self.kept.right, self.kept.answered))
                if self.kept.answered
                else None,
            },
        }

    def _point(self, point: CurvePoint) -> dict[str, object]:
        return {
            **point._asdict(),
            "coverage": point.answered / self.images,
            "accuracy": point.right / point.answered if point.answered else None,
        }


class CertaintyTally:
    """Keeps how certain each answer of some batches is, and whether it is right.

    Arguments:
        temperature: of the model.
        reject_below: the probability below which it withholds an answer, or None.
    """

    def __init__(self, temperature: float, reject_below: float | None) -> None:
        self._temperature, self._reject_below = temperature, reject_below
        self._kept: list[tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]] = []

    def add(self, logits: NDArray[np.float32], classes: NDArray[np.int64]) -> None:
        """Keep the answers (N, classes) to a batch with its true classes (N,)."""
        plain = softmax(logits).max(axis=1)
        sure = plain if self._temperature == 1.0 else softmax(logits, self._temperature).max(axis=1)
        self._kept.append((plain, sure, logits.argmax(axis=1) == classes))

    def result(self) -> Certainty | None:
        """Return what can be said of them; None without any."""
        if not self._kept:
            return None
        before, after, right = (np.concatenate(values) for values in zip(*self._kept, strict=True))
        kept = None
        if self._reject_below is not None:
            answered = after >= self._reject_below
            kept = CurvePoint(self._reject_below, int(answered.sum()), int(right[answered].sum()))
        return Certainty(
            self._temperature,
            reliability_bins(before, right),
            reliability_bins(after, right),
            curve_of(after, right),
            kept,
        )
