"""What a model answers to every image of a part, one by one: an evaluation counts, a report shows pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.data.dataset import Dataset
from neocog.data.resize import ImageSize
from neocog.model.network import Network
from neocog.model.thresholds import given_labels

BATCH = 64
"""Images at a time: as many as `neocog evaluate` takes, so that each has the same bits here and there."""

_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to the images of a part that can be read.

    Arguments:
        indices: (n,) places in the part.
        probabilities: (n, outputs), as `Network.predict_proba` gives them.
        truth, given: (n, outputs) which labels an image has, and which it was given.
        several: whether an image may have several labels.
        reject_below: the probability below which the model withholds its answer; None: it gives each.
    """

    indices: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    truth: NDArray[np.bool_]
    given: NDArray[np.bool_]
    several: bool
    reject_below: float | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def right(self) -> NDArray[np.bool_]:
        """(n,) whether the answer is right."""
        right: NDArray[np.bool_] = (self.truth == self.given).all(axis=1)
        return right

    @property
    def withheld(self) -> NDArray[np.bool_]:
        """(n,) whether the answer is "unknown". `given`, `right` and the confusion matrix are of what it would be."""
        if self.several or self.reject_below is None:
            return np.zeros(len(self), bool)
        withheld: NDArray[np.bool_] = self.certainty < self.reject_below
        return withheld

    def worst(self) -> NDArray[np.int64]:
        """Return the wrong ones, withheld or not, the least excusable first: those whose truth seemed least likely."""
        likely = np.where(self.truth, self.probabilities, 1.0)
        if self.several:
            likely = np.where(self.truth, self.probabilities, 1.0 - self.probabilities)
        losses = -np.log(np.maximum(likely.astype(np.float64), _TINY)).sum(axis=1)
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-losses[wrong], kind="stable")]

    def least_certain(self) -> NDArray[np.int64]:
        """Return the right ones, withheld or not, the closest calls first."""
        right = np.flatnonzero(self.right)
        return right[np.argsort(self.certainty[right], kind="stable")]

    @property
    def certainty(self) -> NDArray[np.float32]:
        """(n,) the probability of the answer; of several labels, that of the least certain yes or no."""
        if self.several:
            certainty: NDArray[np.float32] = np.maximum(self.probabilities, 1.0 - self.probabilities).min(axis=1)
        else:
            certainty = self.probabilities.max(axis=1)
        return certainty

    @property
    def focus(self) -> NDArray[np.int64]:
        """(n,) the output that is looked at: the answer; of several labels, the one that is furthest from the truth."""
        looked_at = np.abs(self.probabilities - self.truth) if self.several else self.probabilities
        focus: NDArray[np.int64] = looked_at.argmax(axis=1).astype(np.int64)
        return focus


def answers_of(model: Network, part: Dataset, labels: Sequence[int]) -> Answers:
    """Ask a model about every image of a part.

    Arguments:
        model: that is asked.
        part: images with labels.
        labels: the model's label for each of the part's.
    """
    size, outputs = ImageSize(*model.input_shape), len(model.class_names)
    indices, probabilities = [np.zeros(0, np.int64)], [np.zeros((0, outputs), np.float32)]
    for start in range(0, len(part), BATCH):
        chosen = np.arange(start, min(start + BATCH, len(part)))
        images, readable = part.read(chosen, size, model.resize)
        if readable.any():
            indices.append(chosen[readable])
            probabilities.append(model.predict_proba(images[readable]))
    found, shares = np.concatenate(indices), np.concatenate(probabilities)
    several, below = model.loss.several_labels, model.reject_below
    given = given_labels(shares, model.thresholds) if several else _one_hot(shares.argmax(axis=1), outputs)
    return Answers(found, shares, _truth(part, found, np.asarray(labels), outputs), given, several, below)


def _truth(part: Dataset, indices: NDArray[np.int64], labels: NDArray[np.int64], outputs: int) -> NDArray[np.bool_]:
    own = part.labels[indices]
    if own.ndim == 1:
        return _one_hot(labels[own], outputs)
    rows, known = np.zeros((len(own), outputs), bool), labels >= 0
    rows[:, labels[known]] = own[:, known] > 0
    return rows


def _one_hot(labels: NDArray[np.int64], outputs: int) -> NDArray[np.bool_]:
    rows: NDArray[np.bool_] = labels[:, None] == np.arange(outputs)
    return rows
