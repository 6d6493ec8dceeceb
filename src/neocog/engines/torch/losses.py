"""The losses, by PyTorch's functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from neocog.errors import SettingError
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError

MeanLoss = Callable[[Any, Any], Any]
"""Takes logits (N, …, outputs) and targets, class labels (N, …) or rows, and gives the mean over images and pixels."""


def mean_loss(loss: Loss, device: str, dtype: Any) -> MeanLoss:
    """Return a loss as a function of tensors."""
    match loss:
        case CrossEntropy(label_smoothing=smoothing, weights=weights):
            return _cross_entropy(smoothing, _tensor(weights, device, dtype))
        case BinaryCrossEntropy(pos_weight=pos_weight):
            weight = _tensor(pos_weight, device, dtype)
            return lambda logits, targets: functional.binary_cross_entropy_with_logits(
                logits, targets, pos_weight=weight
            )
        case MeanSquaredError():
            return functional.mse_loss
        case other:
            raise SettingError(f"unknown loss {other!r}")


def _cross_entropy(smoothing: float, weights: Any) -> MeanLoss:
    def mean(logits: Any, targets: Any) -> Any:
        logits, targets = logits.flatten(0, -2), targets.flatten(0, logits.ndim - 2)
        found = functional.cross_entropy(logits, targets, weights, label_smoothing=smoothing)
        if targets.ndim == 1 and weights is not None and not weights[targets].any():
            return logits.sum() * 0.0  # nothing counts, and PyTorch divides by that
        return found

    return mean


def _tensor(weights: float | tuple[float, ...] | None, device: str, dtype: Any) -> Any:
    return None if weights is None else torch.tensor(weights, dtype=dtype, device=device)
