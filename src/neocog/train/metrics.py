"""What answers are worth: the loss of each image, and which classes they name.

Networks that end in an image answer for each pixel; what is said of answers then holds for pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neocog.model.thresholds import given_labels, sigmoid
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, Loss


def target_classes(logits: NDArray[np.generic], targets: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return the class indices (N, ...) that targets stand for: of vectors, the largest entry's.

    Arguments:
        logits: (N, ..., outputs).
        targets: class indices (N, ...), or vectors (N, ..., outputs).
    """
    classes = targets.argmax(axis=-1) if targets.ndim == logits.ndim else targets
    return classes.astype(np.int64)


def target_labels(targets: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Return which labels (N, ..., outputs) targets of several labels stand for: those of more than a half."""
    return np.asarray(targets, np.float32) > 0.5


def count_right(loss: Loss, logits: NDArray[np.generic], targets: NDArray[np.generic]) -> tuple[int, int]:
    """Return how many answers are right, and how many there are.

    An answer names the class of its target; or, of several labels, gives every one that it should, and no other:
    those of a probability above a half, since thresholds are fitted behind a training.

    Arguments:
        loss: that says which it is.
        logits: (N, ..., outputs).
        targets: as `check_targets` gives them.
    """
    if loss.several_labels:
        right = (given_labels(sigmoid(logits)) == target_labels(targets)).all(axis=-1)
    else:
        right = logits.argmax(axis=-1) == target_classes(logits, targets)
    return int(np.count_nonzero(right)), right.size


def losses_of(
    loss: Loss, logits: NDArray[np.float64], targets: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the loss (N,) of each image times how much it counts, and how much it counts, which is 1 but for class
    weights. Label smoothing is left out, see `neocog.train.evaluation.evaluate`.

    Arguments:
        loss: which.
        logits: (N, ..., outputs).
        targets: as `check_targets` gives them.
    """
    counts = np.ones(logits.shape[:-1])
    if isinstance(loss, CrossEntropy):
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_sums = np.log(np.exp(shifted).sum(axis=-1))
        weights = None if loss.weights is None else np.array(loss.weights)
        if targets.ndim < logits.ndim:
            losses = log_sums - np.take_along_axis(shifted, target_classes(logits, targets)[..., None], axis=-1)[..., 0]
            if weights is not None:
                counts = weights[targets]
                losses = losses * counts
        else:
            rows = targets.astype(np.float64) * (1.0 if weights is None else weights)
            losses = np.where(rows > 0, rows * (log_sums[..., None] - shifted), 0.0).sum(axis=-1)
    elif isinstance(loss, BinaryCrossEntropy):
        yes, rest = targets.astype(np.float64), np.log1p(np.exp(-np.abs(logits)))
        weight = np.array(1.0 if loss.pos_weight is None else loss.pos_weight)
        of_no, of_yes = np.maximum(logits, 0.0) + rest, np.maximum(-logits, 0.0) + rest
        losses = (1.0 - yes) * of_no + weight * yes * of_yes
    else:
        losses = np.square(logits - targets.astype(np.float64))
    return _means(losses), _means(counts)


def average_precision(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float | None:
    """Return the mean of the precisions at each step of the recall, from the highest score to the lowest; None where
    nothing is true. Equal scores are one step. (Average precision as scikit-learn has it.)

    Arguments:
        scores: (N,).
        truth: (N,).

    >>> average_precision(np.array([3, 2, 1], np.float32), np.array([True, False, True]))
    0.8333333333333333
    """
    if not truth.any():
        return None
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(truth[order])
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # where equal scores end
    precision = found[ends] / (ends + 1)
    steps = np.diff(found[ends], prepend=0) / found[-1]
    return float((steps * precision).sum())


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of each image's values."""
    means: NDArray[np.float64] = values.reshape(len(values), -1).mean(axis=1) if len(values) else np.zeros(0)
    return means
