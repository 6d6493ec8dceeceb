"""The losses, by PyTorch's functions: sums, and what means divide them by, since processes may share a mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from neocog.errors import SettingError
from neocog.nn.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError


@dataclass(frozen=True, slots=True)
class SummedLoss:
    """A loss of some images.

    Arguments:
        total: takes logits (N, …, outputs) and targets, class labels (N, …) or rows, and gives the sum over all.
        weight: takes targets, and gives what the mean over images and pixels divides that sum by: a number of values,
            or a tensor where images count by their labels.
    """

    total: Callable[[Any, Any], Any]
    weight: Callable[[Any], Any]

    def mean(self, logits: Any, targets: Any) -> Any:
        """Return the mean over images and pixels; 0 where none of them counts."""
        return self.total(logits, targets) / divisor(self.weight(targets))


def summed_loss(loss: Loss, device: str, dtype: Any) -> SummedLoss:
    """Return a loss as functions of tensors."""
    match loss:
        case CrossEntropy(label_smoothing=smoothing, weights=weights):
            return _cross_entropy(smoothing, _tensor(weights, device, dtype))
        case BinaryCrossEntropy(pos_weight=pos_weight):
            weight = _tensor(pos_weight, device, dtype)
            return SummedLoss(
                lambda logits, targets: functional.binary_cross_entropy_with_logits(
                    logits, targets, pos_weight=weight, reduction="sum"
                ),
                lambda targets: targets.numel(),
            )
        case MeanSquaredError():
            return SummedLoss(
                lambda logits, targets: functional.mse_loss(logits, targets, reduction="sum"),
                lambda targets: targets.numel(),
            )
        case other:
            raise SettingError(f"unknown loss {other!r}")


def _cross_entropy(smoothing: float, weights: Any) -> SummedLoss:
    def total(logits: Any, targets: Any) -> Any:
        logits, targets = logits.flatten(0, -2), targets.flatten(0, logits.ndim - 2)
        return functional.cross_entropy(logits, targets, weights, label_smoothing=smoothing, reduction="sum")

    def weight(targets: Any) -> Any:
        if targets.is_floating_point():
            return targets[..., 0].numel()
        return targets.numel() if weights is None else weights[targets].sum()

    return SummedLoss(total, weight)


def divisor(weight: Any) -> Any:
    """Return a weight by which sums can be divided: where nothing counts, they are 0, and stay so."""
    return torch.where(weight == 0, 1, weight) if torch.is_tensor(weight) else weight


def _tensor(weights: float | tuple[float, ...] | None, device: str, dtype: Any) -> Any:
    return None if weights is None else torch.tensor(weights, dtype=dtype, device=device)
