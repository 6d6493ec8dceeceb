"""Batch normalization, of the images of a process, or of those of all processes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn import functional

from neocog.engines.torch.exchange import Exchange
from neocog.nn.layers import BatchNorm2d


class BatchNorm(torch.nn.Module):  # type: ignore[misc]
    """Batch normalization of images and vectors alike.

    PyTorch's own modules count batches in one more buffer, and refuse to train on a single value a channel, which the
    last batch of an epoch may bring. Its SyncBatchNorm runs on GPUs alone, and does not know processes without images.
    """

    def __init__(self, layer: BatchNorm2d, channels: int) -> None:
        super().__init__()
        self.momentum, self.epsilon, self.frozen = layer.momentum, layer.epsilon, layer.frozen
        self.weight: Any = torch.nn.Parameter(torch.ones(channels)) if layer.affine else None
        self.bias: Any = torch.nn.Parameter(torch.zeros(channels)) if layer.affine else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.exchange: Exchange | None = None
        """Whom the statistics are shared with, where they are."""
        self.counted = True
        """Whether this process has images: one without stands by with a picture that does not count."""

    def forward(self, x: Any) -> Any:
        """Normalise x (N, C, H, W) or (N, C); while training, move the running averages, unless they are frozen."""
        moving = self.training and not self.frozen
        if moving and self.exchange is not None:
            return self._together(x)
        if moving and x.numel() == x.shape[1]:
            with torch.no_grad():
                self.running_mean.lerp_(x.detach().flatten().to(self.running_mean.dtype), self.momentum)
                self.running_var.mul_(1 - self.momentum)
            return self._scaled((x - x.mean(0)) / math.sqrt(self.epsilon))
        return functional.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            moving,
            self.momentum,
            self.epsilon,
        )

    def _scaled(self, x: Any) -> Any:
        if self.weight is None:
            return x
        sides = (1, -1, *(1,) * (x.ndim - 2))
        return x * self.weight.view(sides) + self.bias.view(sides)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # an exchange is nothing to be compiled
    def _together(self, x: Any) -> Any:
        given = x.to(self.running_mean.dtype)  # statistics are float32 where x is bfloat16
        normalised, mean, variance, count = _Normalised.apply(given, self.epsilon, self.exchange, self.counted)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), self.momentum)
        return self._scaled(normalised).to(x.dtype)


class _Normalised(torch.autograd.Function):  # type: ignore[misc]
    """x with mean 0 and variance 1 over the values of all processes: one exchange forward, and one backward.

    Means and squares around them come from each process, and are put together (Chan, Golub and LeVeque 1979): sums of
    squares around 0 would lose digits.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, epsilon: float, exchange: Exchange, counted: bool) -> Any:
        """Return x normalised, and the mean, variance and number of all values of a channel."""
        axes = (0, *range(2, x.ndim))
        own = x.mean(axes)
        squares = (x - _along(own, x)).square().sum(axes)
        count = own.new_full((1,), x.numel() // x.shape[1] if counted else 0)
        everyone = exchange.gathered(torch.cat([own, squares * bool(counted), count]))
        means, squares, counts = everyone.split([len(own), len(own), 1], 1)
        total = counts.sum()
        mean = (means * counts).sum(0) / total
        variance = (squares.sum(0) + (counts * (means - mean).square()).sum(0)) / total
        scale = (variance + epsilon).rsqrt()
        ctx.save_for_backward(x, mean, scale, total)
        ctx.exchange, ctx.counted = exchange, counted
        ctx.mark_non_differentiable(mean, variance, total)
        return (x - _along(mean, x)) * _along(scale, x), mean, variance, total

    @staticmethod
    def backward(ctx: Any, gradient: Any, *rest: Any) -> Any:
        """Return the gradient of x."""
        x, mean, scale, total = ctx.saved_tensors
        axes = (0, *range(2, x.ndim))
        normalised = (x - _along(mean, x)) * _along(scale, x)
        sums = torch.cat([gradient.sum(axes), (gradient * normalised).sum(axes)])
        ctx.exchange.sum(sums)
        level, slope = (sums / total).chunk(2)
        found = (gradient - _along(level, x) - normalised * _along(slope, x)) * _along(scale, x)
        return found if ctx.counted else torch.zeros_like(found), None, None, None


def _along(values: Any, x: Any) -> Any:
    """Return a value a channel, as it meets x (N, C, …)."""
    return values.view(1, -1, *(1,) * (x.ndim - 2))
