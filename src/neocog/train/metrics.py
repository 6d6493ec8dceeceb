"""What an answer is worth, image by image: its loss, and whether its class is the true one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neocog.nn.losses import Loss, MeanSquaredError


def target_classes(loss: Loss, targets: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return the class indices (N,) that targets of a loss stand for: of vectors, the largest entry's."""
    classes = targets.argmax(axis=1) if isinstance(loss, MeanSquaredError) and targets.ndim == 2 else targets
    return classes.astype(np.int64)


def losses_of(loss: Loss, logits: NDArray[np.float64], targets: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the loss (N,) of each image; label smoothing is left out, see `neocog.train.evaluation.evaluate`.

    Arguments:
        loss: which.
        logits: (N, outputs).
        targets: as `check_targets` gives them.
    """
    if isinstance(loss, MeanSquaredError):
        return _squared_errors(logits, targets)
    return _cross_entropies(logits, target_classes(loss, targets))


def _cross_entropies(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    losses: NDArray[np.float64] = log_sums - np.take_along_axis(shifted, truth[:, None], axis=1)[:, 0]
    return losses


def _squared_errors(logits: NDArray[np.float64], targets: NDArray[np.generic]) -> NDArray[np.float64]:
    errors: NDArray[np.float64] = np.square(logits - targets.astype(np.float64)).mean(axis=1)
    return errors
