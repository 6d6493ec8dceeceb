"""The losses: the mean over a batch, and its gradient in the logits.

Logits are (N, classes), or (N, H, W, classes) where a network answers pixel by pixel: the mean is then one over images
and pixels.
"""

from __future__ import annotations

import numpy as np

from neocog.errors import SettingError
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError
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


def sigmoid(logits: Array) -> Array:
    """Return the probability 1 / (1 + exp(-z)) of each logit, without overflow.

    >>> sigmoid(np.array([0.0, -1e4]))
    array([0.5, 0. ])
    """
    small = np.exp(-np.abs(logits))
    result: Array = np.where(logits >= 0, 1.0, small) / (1.0 + small)
    return result


def softplus(logits: Array) -> Array:
    """Return log(1 + exp(z)), which is -log of sigmoid(-z), without overflow."""
    result: Array = np.maximum(logits, 0.0) + np.log1p(np.exp(-np.abs(logits)))
    return result


def masses(loss: CrossEntropy, targets: Array, classes: int) -> Array:
    """Return how much each class of each target counts (N, …, classes): 1 at each label, or a row of probabilities, of
    which the label smoothing is spread over all; times the weights of the classes.
    """
    rows = np.eye(classes)[targets] if targets.dtype.kind in "iu" else targets.astype(np.float64)
    spread = (1.0 - loss.label_smoothing) * rows + loss.label_smoothing / classes
    return spread if loss.weights is None else spread * np.array(loss.weights)


def divisor(loss: CrossEntropy, targets: Array, classes: int) -> float:
    """Return what sums over the targets are divided by: the weights of their labels, or the number of rows."""
    if targets.dtype.kind in "iu":
        return float(targets.size if loss.weights is None else np.array(loss.weights)[targets].sum())
    return float(targets.size // classes)


def positive_weight(loss: BinaryCrossEntropy) -> Array:
    """Return what labels that an image has count, one number or one for each output."""
    return np.array(1.0 if loss.pos_weight is None else loss.pos_weight)


def forward(loss: Loss, logits: Array, targets: Array) -> float:
    """Return the mean loss of a batch.

    Arguments:
        loss: which.
        logits: (N, …, outputs).
        targets: (N, …, outputs); for CrossEntropy class labels (N, …), or rows of probabilities.
    """
    if isinstance(loss, CrossEntropy):
        classes = logits.shape[-1]
        mass, total = masses(loss, targets, classes), divisor(loss, targets, classes)
        logs = np.where(mass > 0, log_softmax(logits), 0.0)  # what does not count may have no probability at all
        return float(-(mass * logs).sum() / total) if total else 0.0
    if isinstance(loss, BinaryCrossEntropy):
        no, yes = 1.0 - targets.astype(np.float64), positive_weight(loss) * targets
        return float((no * softplus(logits) + yes * softplus(-logits)).mean())
    if isinstance(loss, MeanSquaredError):
        return float(np.square(logits - targets).mean())
    raise SettingError(f"unknown loss {loss!r}")


def backward(loss: Loss, logits: Array, targets: Array) -> Array:
    """Return the gradient of `forward` with respect to the logits, in their shape."""
    if isinstance(loss, CrossEntropy):
        classes = logits.shape[-1]
        mass, total = masses(loss, targets, classes).astype(logits.dtype), divisor(loss, targets, classes)
        gradient: Array = softmax(logits) * mass.sum(axis=-1, keepdims=True) - mass
        return gradient / total if total else np.zeros_like(gradient)
    if isinstance(loss, BinaryCrossEntropy):
        no, yes = (
            (1.0 - targets.astype(np.float64)).astype(logits.dtype),
            (positive_weight(loss) * targets).astype(logits.dtype),
        )
        slopes: Array = no * sigmoid(logits) - yes * sigmoid(-logits)
        return slopes / logits.size
    if isinstance(loss, MeanSquaredError):
        return 2.0 * (logits - targets) / logits.size
    raise SettingError(f"unknown loss {loss!r}")
