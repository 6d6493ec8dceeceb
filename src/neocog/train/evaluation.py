"""How good a model is: accuracy, loss and confusion on images whose classes are known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.engines.targets import check_targets
from neocog.errors import DataError
from neocog.model.network import Network
from neocog.nn.losses import Loss
from neocog.train.labels import LabelsEvaluation, LabelsTally
from neocog.train.metrics import losses_of, target_classes
from neocog.train.source import Batch

MATRIX_CLASSES = 1000
"""Classes up to which JSON holds the whole confusion matrix."""


@dataclass(frozen=True, slots=True)
class ClassResult:
    """One class: the share of its images (or pixels) that were recognised (None without any), and their number."""

    accuracy: float | None
    images: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a model did on labelled images. Where it ends in an image, classes and answers are those of pixels.

    Arguments:
        accuracy: share of images whose most probable class is the true one.
        loss: mean over the images, computed in float64 from the engine's logits.
        images: number of images.
        per_class: class name → its result.
        pairs: (pairs, 3): true class, predicted class, and number of images; in this order, only those with images.
    """

    accuracy: float
    loss: float
    images: int
    per_class: dict[str, ClassResult]
    pairs: NDArray[np.int64]

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(classes, classes) counts; row: the true class, column: the answer. Of very many classes it is very large,
        and `pairs` says the same.
        """
        matrix = np.zeros((len(self.per_class), len(self.per_class)), np.int64)
        matrix[self.pairs[:, 0], self.pairs[:, 1]] = self.pairs[:, 2]
        return matrix

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values.

        "confusion" is the matrix; of more than MATRIX_CLASSES classes it is null, and "confusion_pairs" lists `pairs`.
        """
        small = len(self.per_class) <= MATRIX_CLASSES
        confusion: dict[str, object] = {"confusion": self.confusion.tolist() if small else None}
        if not small:
            confusion["confusion_pairs"] = self.pairs.tolist()
        return {
            "accuracy": self.accuracy,
            "loss": self.loss,
            "images": self.images,
            "per_class": {
                name: {"accuracy": result.accuracy, "images": result.images} for name, result in self.per_class.items()
            },
            **confusion,
        }


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
    tally = LabelsTally(model.class_names, model.thresholds) if loss.several_labels else _Classes(model.class_names)
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

    def __init__(self, names: Sequence[str]) -> None:
        self._names, self._pairs = names, np.zeros((0, 3), np.int64)

    def add(self, logits: NDArray[np.float32], targets: NDArray[np.generic]) -> None:
        """Count a batch."""
        classes = len(self._names)
        truth, answers = target_classes(logits, targets), logits.argmax(axis=-1)
        # A code for each pair of classes; a matrix of all pairs may be larger than memory.
        codes, numbers = np.unique(truth * classes + answers, return_counts=True)
        self._pairs = _merged(self._pairs, codes, numbers, classes)

    def result(self, loss: float, images: int) -> Evaluation:
        """Return what was counted."""
        pairs, classes = self._pairs, len(self._names)
        right = pairs[:, 0] == pairs[:, 1]
        found, of_class = np.zeros(classes, np.int64), np.zeros(classes, np.int64)
        found[pairs[right, 0]] = pairs[right, 2]
        np.add.at(of_class, pairs[:, 0], pairs[:, 2])
        per_class = {
            name: ClassResult(float(found[k] / of_class[k]) if of_class[k] else None, int(of_class[k]))
            for k, name in enumerate(self._names)
        }
        return Evaluation(float(found.sum() / of_class.sum()), loss, images, per_class, pairs)


def _merged(
    pairs: NDArray[np.int64], codes: NDArray[np.int64], counts: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """Return rows (true class, answer, number), in order, with the numbers of more pairs added."""
    every, places = np.unique(np.concatenate([pairs[:, 0] * classes + pairs[:, 1], codes]), return_inverse=True)
    numbers = np.zeros(len(every), np.int64)
    np.add.at(numbers, places, np.concatenate([pairs[:, 2], counts]))
    return np.stack([every // classes, every % classes, numbers], axis=1)
