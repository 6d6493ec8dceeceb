"""The losses: the mean over a batch, and its gradient in the logits.

Logits are (N, classes), or (N, H, W, classes) where a network answers pixel by pixel: the mean is then one over images
and pixels.
"""

from __future__ import annotations

import numpy as np

from neocog.errors import SettingError
from neocog.nn.losses import CrossEntropy, Loss, MeanSquaredError
from neocog.reference.arrays import Array


def log_softmax(logits: Array) -> Array:
    """Return the logarithms of the softmax over the last axis of the logits, without overflow."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    result: Array = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return result


def softmax(logits: Array) -> Array:
    """Return probabilities for logits (N, …, classes): exp(z) over the sum of exp(z).

    >>> softmax(np.array([[0.0, 0.0]]))
    array([[0.5, 0.5]])
    """
    result: Array = np.exp(log_softmax(logits))
    return result


def smoothed(labels: Array, classes: int, smoothing: float) -> Array:
    """Return the target distribution (N, …, classes): 1 at each label, of which `smoothing` is spread over all."""
    one_hot = np.eye(classes)[labels]
    return (1.0 - smoothing) * one_hot + smoothing / classes


def forward(loss: Loss, logits: Array, targets: Array) -> float:
    """Return the mean loss of a batch.

    Arguments:
        loss: which.
        logits: (N, …, outputs).
        targets: class labels (N, …) for CrossEntropy, (N, …, outputs) for MeanSquaredError.
    """
    if isinstance(loss, CrossEntropy):
        want = smoothed(targets, logits.shape[-1], loss.label_smoothing)
        return float(-(want * log_softmax(logits)).sum() / targets.size)
    if isinstance(loss, MeanSquaredError):
        return float(np.square(logits - targets).mean())
    raise SettingError(f"unknown loss {loss!r}")


def backward(loss: Loss, logits: Array, targets: Array) -> Array:
    """Return the gradient of `forward` with respect to the logits, in their shape."""
    if isinstance(loss, CrossEntropy):
        want = smoothed(targets, logits.shape[-1], loss.label_smoothing).astype(logits.dtype)
        gradient: Array = (softmax(logits) - want) / targets.size
        return gradient
    if isinstance(loss, MeanSquaredError):
        return 2.0 * (logits - targets) / logits.size
    raise SettingError(f"unknown loss {loss!r}")
