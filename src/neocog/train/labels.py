"""How good a model is where an image may have several labels: each label is a question of its own, yes or no."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.train.metrics import average_precision, given_labels, target_labels


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
    """

    precision: float | None
    recall: float | None
    f1: float | None
    average_precision: float | None
    images: int


@dataclass(frozen=True, slots=True)
class LabelsEvaluation:
    """How well a model did on images that may have several labels. An answer gives those of a probability above a half.

    Arguments:
        accuracy: share of images whose labels are all right: every one that there is, and no other.
        loss: mean over the images, computed in float64 from the engine's logits.
        images: number of images.
        label_accuracy: share of all single answers, yes or no, that are right.
        f1: mean over the labels of their F1 (macro); None where no label has one.
        mean_average_precision: mean over the labels that images have; None where there is none.
        per_class: name of a label → its result.
    """

    accuracy: float
    loss: float
    images: int
    label_accuracy: float
    f1: float | None
    mean_average_precision: float | None
    per_class: dict[str, LabelResult]

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        return asdict(self)


class LabelsTally:
    """Counts the answers of batches.

    >>> tally = LabelsTally(["cat", "dog"])
    >>> tally.add(np.array([[2.0, -1.0], [0.5, 3.0]], np.float32), np.array([[1, 0], [0, 1]], np.float32))
    >>> tally.result(loss=0.5, images=2).accuracy
    0.5
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._right, self._answers = 0, 0
        self._both, self._given, self._true = (np.zeros(len(names), np.int64) for _ in range(3))
        self._scores: list[NDArray[np.float32]] = []
        self._truths: list[NDArray[np.bool_]] = []

    def add(self, logits: NDArray[np.float32], targets: NDArray[np.generic]) -> None:
        """Count the answers (N, ..., labels) to a batch."""
        given, truth = given_labels(logits), target_labels(targets)
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
        wrong = int((self._given + self._true - 2 * self._both).sum())
        return LabelsEvaluation(
            self._right / self._answers,
            loss,
            images,
            1.0 - wrong / (self._answers * len(self._names)),
            _mean([found.f1 for found in per_class.values()]),
            _mean([found.average_precision for found in per_class.values()]),
            per_class,
        )

    def _label(self, place: int) -> LabelResult:
        both, given, true = (int(counts[place]) for counts in (self._both, self._given, self._true))
        precision = None
        if self._scores:
            scores, truths = ([values[:, place] for values in kept] for kept in (self._scores, self._truths))
            precision = average_precision(np.concatenate(scores), np.concatenate(truths))
        return LabelResult(_share(both, given), _share(both, true), _share(2 * both, given + true), precision, true)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
