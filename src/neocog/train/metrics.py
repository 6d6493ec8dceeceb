"""What answers are worth: the loss of each image, and which classes they name.

Networks that end in an image answer for each pixel; what is said of answers then holds for pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neocog.nn.losses import Loss, MeanSquaredError


def target_classes(logits: NDArray[np.generic], targets: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return the class indices (N, ...) that targets stand for: of vectors, the largest entry's.

    Arguments:
        logits: (N, ..., outputs).
        targets: class indices (N, ...), or vectors (N, ..., outputs).
    """
    classes = targets.argmax(axis=-1) if targets.ndim == logits.ndim else targets
    return classes.astype(np.int64)


def count_right(logits: NDArray[np.generic], targets: NDArray[np.generic]) -> tuple[int, int]:
    """Return how many answers name the class of their target, and how many there are."""
    right = logits.argmax(axis=-1) == target_classes(logits, targets)
    return int(np.count_nonzero(right)), right.size


def losses_of(loss: Loss, logits: NDArray[np.float64], targets: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the loss (N,) of each image; label smoothing is left out, see `neocog.train.evaluation.evaluate`.

    Arguments:
        loss: which.
        logits: (N, ..., outputs).
        targets: as `check_targets` gives them.
    """
    if isinstance(loss, MeanSquaredError):
        losses = np.square(logits - targets.astype(np.float64))
    else:
        shifted = logits - logits.max(axis=-1, keepdims=True)
        log_sums = np.log(np.exp(shifted).sum(axis=-1))
        truth = target_classes(logits, targets)
        losses = log_sums - np.take_along_axis(shifted, truth[..., None], axis=-1)[..., 0]
    means: NDArray[np.float64] = losses.reshape(len(losses), -1).mean(axis=1) if len(losses) else np.zeros(0)
    return means
