"""How good a model is: accuracy, loss and confusion on images whose classes are known."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.engines.targets import check_targets
from neocog.errors import DataError
from neocog.model.network import Network
from neocog.nn.losses import Loss
from neocog.train.intervals import Interval, mean_interval, wilson_interval
from neocog.train.labels import LabelsEvaluation, LabelsTally
from neocog.train.metrics import losses_of, target_classes
from neocog.train.reliability import Certainty, CertaintyTally
from neocog.train.source import Batch

MATRIX_CLASSES = 1000
"""Classes up to which JSON holds the whole confusion matrix."""


@dataclass(frozen=True, slots=True)
class ClassResult:
    """One class. What nothing can be said of is None: a recall without images of it, a precision where it was never the
    answer.

    Arguments:
        images: of the class (or pixels).
        answers: how often it was the answer.
        right: how often that was right.
    """

    images: int
    answers: int
    right: int

    @property
    def recall(self) -> float | None:
        """The share of its images that were recognised."""
        return self.right / self.images if self.images else None

    @property
    def accuracy(self) -> float | None:
        """Another word for the recall."""
        return self.recall

    @property
    def precision(self) -> float | None:
        """The share of the images taken for it that are of it."""
        return self.right / self.answers if self.answers else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of both; None where it has no images, nor was the answer."""
        return 2 * self.right / (self.images + self.answers) if self.images + self.answers else None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a model did on labelled images. Where it ends in an image, classes and answers are those of pixels.

    Arguments:
        loss: mean over the images, computed in float64 from the engine's logits.
        images: number of images.
        per_class: class name → its result.
        pairs: (pairs, 3): true class, predicted class, and number of images; in this order, only those with images.
        certainty: what the probabilities of the answers are worth; None where answers are those of pixels.
    """

    loss: float
    images: int
    per_class: dict[str, ClassResult]
    pairs: NDArray[np.int64]
    certainty: Certainty | None = None

    @property
    def accuracy(self) -> float:
        """The share of images whose most probable class is the true one."""
        found = self.per_class.values()
        return sum(result.right for result in found) / sum(result.images for result in found)

    @property
    def accuracy_interval(self) -> Interval | None:
        """Where the accuracy on all images like these lies, with 95 % confidence. None for pixels: those of one image
        are right or wrong together.
        """
        found = self.per_class.values()
        if self.certainty is None:
            return None
        return wilson_interval(sum(result.right for result in found), sum(result.images for result in found))

    @property
    def macro_recall(self) -> float:
        """The mean of the classes' recalls: the accuracy, if all classes were equally frequent."""
        recalls = [result.recall for result in self.per_class.values() if result.recall is not None]
        return sum(recalls) / len(recalls)

    @property
    def macro_recall_interval(self) -> Interval | None:
        """Where the macro recall on all images like these lies, with 95 % confidence; None for pixels."""
        if self.certainty is None:
            return None
        return mean_interval([(result.right, result.images) for result in self.per_class.values() if result.images])

    @property
    def most_frequent(self) -> str:
        """The class of most of the images: who always answers it is right as often."""
        return max(self.per_class, key=lambda name: self.per_class[name].images)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(classes, classes) counts; row: the true class, column: the answer. Of very many classes it is very large,
        and `pairs` says the same.
        """
        matrix = np.zeros((len(self.per_class), len(self.per_class)), np.int64)
        matrix[self.pairs[:, 0], self.pairs[:, 1]] = self.pairs[:, 2]
        return matrix

    def weakest(self, most: int = 3) -> list[str]:
        """Return the classes of the lowest recall, the lowest first, without those that are recognised best of all."""
        known = [(result.recall, name) for name, result in self.per_class.items() if result.recall is not None]
        best = max(recall for recall, _ in known)
        below = sorted(((recall, name) for recall, name in known if recall < best), key=lambda entry: entry[0])
        return [name for _, name in below[:most]]

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values, as docs/formats.md has them.

        "confusion" is the matrix; of more than MATRIX_CLASSES classes it is null, and "confusion_pairs" lists `pairs`.
        """
        small = len(self.per_class) <= MATRIX_CLASSES
        confusion: dict[str, object] = {"confusion": self.confusion.tolist() if small else None}
        if not small:
            confusion["confusion_pairs"] = self.pairs.tolist()
        frequent = self.most_frequent
        none: dict[str, object] = {"calibration": None, "coverage_curve": None, "reject": None}
        return {
            "accuracy": self.accuracy,
            "accuracy_interval": _listed(self.accuracy_interval),
            "macro_recall": self.macro_recall,
            "macro_recall_interval": _listed(self.macro_recall_interval),
            "loss": self.loss,
            "images": self.images,
            "most_frequent": {
                "class": frequent,
                "share": self.per_class[frequent].images / sum(result.images for result in self.per_class.values()),
            },
            "per_class": {name: self._class_json(result) for name, result in self.per_class.items()},
            **confusion,
            **(none if self.certainty is None else self.certainty.to_json()),
        }

    def _class_json(self, result: ClassResult) -> dict[str, object]:
        counted = self.certainty is not None and result.images
        return {
            "accuracy": result.accuracy,
            "images": result.images,
            "answers": result.answers,
            "right": result.right,
            "recall": result.recall,
            "recall_interval": list(wilson_interval(result.right, result.images)) if counted else None,
            "precision": result.precision,
            "f1": result.f1,
        }


def _listed(interval: Interval | None) -> list[float] | None:
    return None if interval is None else list(interval)


def evaluate(
    model: Network, batches: Iterable[Batch], loss: Loss | None = None, *, plain: bool = False
) -> Evaluation | LabelsEvaluation:
    """Measure a model in one pass over batches.

    Arguments:
        model: the model to measure.
        batches: pairs of images and labels, such as `source.batches(0)`; of any sizes.
        loss: which loss to report, default: what the model was trained with. Label smoothing is ignored: it only helps
            training, and losses stay comparable without it.
        plain: look at each image as it is alone, whatever the model's `views`; quicker, for comparing epochs.

    Returns:
        An Evaluation; of a loss with several labels an image, a LabelsEvaluation.

    Raises:
        DataError: there are no images, or labels are out of range.
    """
    loss = loss if loss is not None else model.loss
    loss.check_outputs(model.graph.classes)
    tally = LabelsTally(model.class_names, model.thresholds) if loss.several_labels else _Classes(model)
    losses: list[float] = []
    counts: list[float] = []
    for images, labels in batches:
        logits = model(images) if plain else model.logits(images)
        targets = check_targets(model.graph, loss, labels, len(logits))
        of_images, count = losses_of(loss, logits.astype(np.float64), targets)
        losses += of_images.tolist()
        counts += count.tolist()
        tally.add(logits, targets)
    if not losses:
        raise DataError("an evaluation needs at least one image, got none")
    # fsum rounds once, so that the same images give the same loss in batches of any size and order.
    total = math.fsum(counts)
    return tally.result(math.fsum(losses) / total if total else 0.0, len(losses))


class _Classes:
    """Counts images by class and answer."""

    def __init__(self, model: Network) -> None:
        self._names, self._pairs = model.class_names, np.zeros((0, 3), np.int64)
        self._certainty = CertaintyTally(model.temperature, model.reject_below)

    def add(self, logits: NDArray[np.float32], targets: NDArray[np.generic]) -> None:
        """Count a batch."""
        classes = len(self._names)
        truth, answers = target_classes(logits, targets), logits.argmax(axis=-1)
        # A code for each pair of classes; a matrix of all pairs may be larger than memory.
        codes, numbers = np.unique(truth * classes + answers, return_counts=True)
        self._pairs = _merged(self._pairs, codes, numbers, classes)
        if logits.ndim == 2 and len(logits):
            self._certainty.add(logits, truth)

    def result(self, loss: float, images: int) -> Evaluation:
        """Return what was counted."""
        pairs, classes = self._pairs, len(self._names)
        right = pairs[:, 0] == pairs[:, 1]
        found, of_class, answers = (np.zeros(classes, np.int64) for _ in range(3))
        found[pairs[right, 0]] = pairs[right, 2]
        np.add.at(of_class, pairs[:, 0], pairs[:, 2])
        np.add.at(answers, pairs[:, 1], pairs[:, 2])
        per_class = {
            name: ClassResult(int(of_class[k]), int(answers[k]), int(found[k])) for k, name in enumerate(self._names)
        }
        return Evaluation(loss, images, per_class, pairs, self._certainty.result())


def _merged(
    pairs: NDArray[np.int64], codes: NDArray[np.int64], counts: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Return rows (true class, answer, number), in order, with the numbers of more pairs added."""
    every, places = np.unique(np.concatenate([pairs[:, 0] * classes + pairs[:, 1], codes]), return_inverse=True)
    numbers = np.zeros(len(every), np.int64)
    np.add.at(numbers, places, np.concatenate([pairs[:, 2], counts]))
    return np.stack([every // classes, every % classes, numbers], axis=1)
