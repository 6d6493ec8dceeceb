"""What answers should have been, as engines take it: class labels, or rows of values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neocog.errors import DataError, ShapeError
from neocog.nn.graph import Graph
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, Loss

SUM_MARGIN = 1e-3
"""How far a row of probabilities may be from 1 in all: far more than rounding, in float16 too."""


def check_targets(graph: Graph, loss: Loss, targets: NDArray[np.generic], count: int) -> NDArray[np.generic]:
    """Return `targets` as engines take them.

    For CrossEntropy they are class labels, int32 (N,), or (N, H, W) where the network answers pixel by pixel; or rows
    of probabilities, float32 in the shape of the answers, (N, outputs) or (N, H, W, outputs). Other losses take rows
    alone; class labels become one-hot rows.

    Raises:
        ShapeError: they are not as many as the images, or not in the shape of the answers.
        DataError: labels are out of range, or rows hold what the loss cannot take.
    """
    outputs, answers = graph.classes, (count, *graph.answer_shape)
    targets = np.asarray(targets)
    if targets.shape[:1] != (count,):
        raise ShapeError(f"labels must be as many as the images, {count}, got the shape {targets.shape}")
    if loss.several_labels and outputs == 1 and targets.shape == answers[:-1]:
        targets = targets[..., None]  # one question: 1 for yes
    if targets.shape == answers[:-1] and targets.dtype.kind in "iu":
        labels = _checked_labels(targets, outputs)
        return labels if isinstance(loss, CrossEntropy) else _one_hot(labels, outputs)
    if targets.shape == answers and targets.dtype.kind in "biuf":
        return _checked_rows(loss, np.ascontiguousarray(targets, dtype=np.float32))
    pixels = "".join(f", {side}" for side in answers[1:-1])
    if isinstance(loss, CrossEntropy):
        raise DataError(
            f"labels must be integers of the shape (N,{pixels.removeprefix(',')}), or rows of probabilities "
            f"(N{pixels}, {outputs}), got {targets.dtype} of {targets.shape}",
            hint=None if pixels else _label_hint(targets),
        )
    if targets.shape != answers:
        raise ShapeError(f"targets must have the shape {answers}, got {targets.shape}")
    raise DataError(f"targets must be numbers, got {targets.dtype}")


def loss_weights(loss: Loss, targets: NDArray[np.generic], outputs: int) -> NDArray[np.float32] | None:
    """Return what a loss multiplies each output by in one batch, (outputs,); None where it has no weights.

    Arguments:
        targets: as `check_targets` gives them. Class weights are divided by their mean over labels, as PyTorch does;
            where none of these counts, they are 0.
    """
    if isinstance(loss, BinaryCrossEntropy) and loss.pos_weight is not None:
        return np.full(outputs, loss.pos_weight, np.float32)
    if not isinstance(loss, CrossEntropy) or loss.weights is None:
        return None
    weights = np.array(loss.weights)
    if targets.dtype.kind in "iu":
        mean = weights[targets].mean()
        weights = weights / mean if mean else np.zeros_like(weights)
    return weights.astype(np.float32)


def _checked_labels(labels: NDArray[np.generic], outputs: int) -> NDArray[np.int32]:
    if labels.size and (int(labels.min()) < 0 or int(labels.max()) >= outputs):
        raise DataError(
            f"labels must lie between 0 and {outputs - 1}, got {int(labels.min())} to {int(labels.max())}",
            hint=f"the network ends in {outputs} outputs, one for each class",
        )
    return np.ascontiguousarray(labels, dtype=np.int32)


def _one_hot(labels: NDArray[np.int32], outputs: int) -> NDArray[np.float32]:
    rows = np.zeros((*labels.shape, outputs), np.float32)
    np.put_along_axis(rows, labels.astype(np.intp)[..., None], 1.0, axis=-1)
    return rows


def _checked_rows(loss: Loss, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows, or raise DataError where a loss of probabilities gets what is none."""
    if not isinstance(loss, CrossEntropy | BinaryCrossEntropy) or not rows.size:
        return rows
    if not (rows.min() >= 0 and rows.max() <= 1 + SUM_MARGIN):  # NaN is in no range
        raise DataError(
            f"rows of targets must hold probabilities, from 0 to 1, got {rows.min():g} to {rows.max():g}",
            hint="1 stands for a label that an image has; other numbers are for nc.MeanSquaredError()",
        )
    if isinstance(loss, CrossEntropy):
        sums = rows.sum(axis=-1)
        far = sums.flat[np.abs(sums - 1).argmax()]
        if abs(far - 1) > SUM_MARGIN:
            raise DataError(
                f"rows of targets must add up to 1 for CrossEntropy, got {far:g}",
                hint="for several labels an image, train with loss=nc.BinaryCrossEntropy()",
            )
    return rows


def _label_hint(labels: NDArray[np.generic]) -> str:
    if labels.ndim == 2 and labels.shape[1] == 1:
        return "pass labels[:, 0]"
    if labels.ndim == 2:
        return "the number of columns must be that of the network's outputs"
    if labels.dtype.kind == "f":
        return "pass labels.astype(int), if they are whole numbers"
    return "number the classes: names, labels = np.unique(labels, return_inverse=True)"
