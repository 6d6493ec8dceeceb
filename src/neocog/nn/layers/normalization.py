"""Normalization of what flows between layers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from neocog.errors import SettingError
from neocog.nn.layer import Layer, Variable, channels_of
from neocog.nn.limits import shown
from neocog.nn.shapes import Shape

__all__ = ["BatchNorm2d"]


@dataclass(frozen=True, slots=True)
class BatchNorm2d(Layer):
    """Bring each channel to mean 0 and variance 1, then scale and shift it: y = (x - mean) / √(variance + ε) · γ + β.

    While training, mean and variance are those of the batch over images and pixels, and running averages of them are
    kept: running ← running + momentum · (batch - running), with the unbiased variance, as in PyTorch. Where the network
    predicts, the running averages are used. It takes vectors too, as PyTorch's BatchNorm1d does.

    Arguments:
        momentum: share of the running averages that each batch replaces, in [0, 1].
        epsilon: added to the variance, against division by zero.
        affine: whether there are a learned scale γ ("weight") and shift β ("bias"), one of each a channel.

    Source: Ioffe and Szegedy 2015, Batch normalization.
    """

    whole_batch: ClassVar[bool] = True

    momentum: float = 0.1
    epsilon: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        if not 0.0 <= self.momentum <= 1.0:
            raise SettingError(f"BatchNorm2d: momentum must lie in [0, 1], got {shown(self.momentum)}")
        if not (math.isfinite(self.epsilon) and self.epsilon > 0.0):
            raise SettingError(f"BatchNorm2d: epsilon must be above 0, got {shown(self.epsilon)}")

    def variables(self, *inputs: Shape) -> tuple[Variable, ...]:
        shape = (channels_of(inputs[0]),)
        learned = (
            (Variable("weight", shape, 1.0, decay=False), Variable("bias", shape, 0.0, decay=False))
            if self.affine
            else ()
        )
        buffers = (
            Variable("running_mean", shape, 0.0, trainable=False, decay=False),
            Variable("running_var", shape, 1.0, trainable=False, decay=False),
        )
        return (*learned, *buffers)
