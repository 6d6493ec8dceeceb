"""How good a model is where an image may have several labels: each label is a question of its own, yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.model.thresholds import HALF, Thresholds, given_labels, sigmoid
from neocog.train.metrics import average_precision, target_labels


@dataclass(frozen=True, slots=True)
class LabelResult:
    """One label. What nothing can be said of is None: a precision where it was never given, a recall where no image
    has it.

    Arguments:
        precision: the share of images that have it among those that were given it.
        recall: the share of images that were given it among those that have it.
        f1: the harmonic mean of these two; None where no image has it, nor was given it.
        average_precision: the mean precision over all thresholds, see `metrics.average_precision`. None also where the
            model answers pixel by pixel: all scores would have to be kept.
        images: that have it.
        given: images that were given it.
        right: images that have it and were given it.
        threshold: the probability above which it is given; see `Network.thresholds`.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    images: int
    given: int
    right: int
    threshold: float


@dataclass(frozen=True, slots=True)
class LabelsEvaluation:
    """How well a model did on images that may have several labels. An answer gives those above their thresholds.

    Arguments:
        accuracy: share of images whose labels are all right: every one that there is, and no other.
        loss: mean over the images, computed in float64 from the engine's logits.
        images: number of images.
        label_accuracy: share of all single answers, yes or no, that are right.
        macro_f1: mean over the labels of their F1; None where no label has one. Each label counts alike.
        micro_f1: F1 of all answers together; None where no image has a label, nor was given one. Frequent labels count
            more.
        mean_average_precision: mean over the labels that images have (mAP); None where there is none. It is the
            same for all thresholds.
        per_class: name of a label → its result.
    """

    accuracy: float
    loss: float
    images: int
    label_accuracy: float
    macro_f1: float | None
    micro_f1: float | None
    mean_average_precision: float | None
    per_class: dict[str, LabelResult]

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        return asdict(self)


class LabelsTally:
    """Counts the answers of batches.

    Arguments:
        names: of the labels.
        thresholds: the probability above which each is given; None: a half.

    >>> tally = LabelsTally(["cat", "dog"])
    >>> tally.add(np.array([[2.0, -1.0], [0.5, 3.0]], np.float32), np.array([[1, 0], [0, 1]], np.float32))
    >>> tally.result(loss=0.5, images=2).accuracy
    0.5
    """

    def __init__(self, names: Sequence[str], thresholds: Thresholds | None = None) -> None:
        self._names, self._thresholds = names, thresholds
        self._right, self._answers = 0, 0
        self._both, self._given, self._true = (np.zeros(len(names), np.int64) for _ in range(3))
        self._scores: list[NDArray[np.float32]] = []
        self._truths: list[NDArray[np.bool_]] = []

    def add(self, logits: NDArray[np.float32], targets: NDArray[np.generic]) -> None:
        """Count the answers (N, ..., labels) to a batch."""
        given, truth = given_labels(sigmoid(logits), self._thresholds), target_labels(targets)
        if logits.ndim == 2:
            self._scores.append(logits)
            self._truths.append(truth)
        given, truth = (values.reshape(-1, len(self._names)) for values in (given, truth))
        self._right += int((given == truth).all(axis=1).sum())
        self._answers += len(given)
        self._both += (given & truth).sum(axis=0)
        self._given += given.sum(axis=0)
        self._true += truth.sum(axis=0)

    def result(self, loss: float, images: int) -> LabelsEvaluation:
        """Return what was counted."""
        per_class = {name: self._label(place) for place, name in enumerate(self._names)}
        both, given, true = (int(counts.sum()) for counts in (self._both, self._given, self._true))
        return LabelsEvaluation(
            accuracy=self._right / self._answers,
            loss=loss,
            images=images,
            label_accuracy=1.0 - (given + true - 2 * both) / (self._answers * len(self._names)),
            macro_f1=_mean([found.f1 for found in per_class.values()]),
            micro_f1=_share(2 * both, given + true),
            mean_average_precision=_mean([found.average_precision for found in per_class.values()]),
            per_class=per_class,
        )

    def _label(self, place: int) -> LabelResult:
        both, given, true = (int(counts[place]) for counts in (self._both, self._given, self._true))
        precision = None
        if self._scores:
            scores, truths = ([values[:, place] for values in kept] for kept in (self._scores, self._truths))
            precision = average_precision(np.concatenate(scores), np.concatenate(truths))
        return LabelResult(
            precision=_share(both, given),
            recall=_share(both, true),
            f1=_share(2 * both, given + true),
            average_precision=precision,
            images=true,
            given=given,
            right=both,
            threshold=HALF if self._thresholds is None else self._thresholds[place],
        )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
