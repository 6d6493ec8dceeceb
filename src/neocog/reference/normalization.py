"""Normalization: y = (x - mean) / √(variance + ε) · γ + β, with statistics of a batch, of an image's groups, or of a
pixel's channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neocog.nn.layers import BatchNorm2d, GroupNorm, LayerNorm2d
from neocog.reference.arrays import Array
from neocog.reference.rule import Call, LayerResult, ReferenceRule, Rules, Sent


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean and variance of each channel: of a batch, or running averages, (C,); of each image, (N, 1, 1, C). Of each
    pixel: (N, H, W, 1), of each vector (N, 1).
    """

    mean: Array
    variance: Array


def batch_statistics(x: Array) -> Statistics:
    """Return the mean of x (N, …, C) over all images and pixels, and the mean squared distance from it."""
    axes = tuple(range(x.ndim - 1))
    mean = x.mean(axis=axes)
    return Statistics(mean, np.square(x - mean).mean(axis=axes))


def group_statistics(x: Array, layer: GroupNorm) -> Statistics:
    """Return what each channel of each image of x (N, H, W, C) is normalised by: mean and variance of its group."""
    mean = _group_means(x, layer)
    return Statistics(mean, _group_means(np.square(x - mean), layer))


def pixel_statistics(x: Array) -> Statistics:
    """Return mean and variance of the channels of each pixel of x (N, H, W, C), or of each vector's values (N, C)."""
    mean = x.mean(axis=-1, keepdims=True)
    return Statistics(mean, np.square(x - mean).mean(axis=-1, keepdims=True))


def _group_means(x: Array, layer: GroupNorm) -> Array:
    count, height, width, channels = x.shape
    means = x.reshape(count, height, width, layer.groups, -1).mean(axis=(1, 2, 4))
    return np.repeat(means, channels // layer.groups, axis=1)[:, None, None]


def normalised(x: Array, statistics: Statistics, layer: BatchNorm2d | GroupNorm | LayerNorm2d) -> Array:
    """Return x with each channel shifted and scaled to mean 0 and variance 1."""
    result: Array = (x - statistics.mean) / np.sqrt(statistics.variance + layer.epsilon)
    return result


def forward(
    x: Array,
    statistics: Statistics,
    layer: BatchNorm2d | GroupNorm | LayerNorm2d,
    weight: Array | None = None,
    bias: Array | None = None,
) -> Array:
    """Normalise, scale and shift.

    Arguments:
        x: (N, H, W, C) or (N, C).
        statistics: of the batch while training, else the running averages; or of the groups, or the pixels.
        layer: its ε.
        weight, bias: γ and β (C,), or None for 1 and 0.
    """
    y = normalised(x, statistics, layer)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def backward(
    x: Array, statistics: Statistics, dy: Array, layer: BatchNorm2d, weight: Array | None = None, *, training: bool
) -> tuple[Array, Array, Array]:
    """Return the gradients of x, γ and β.

    While training, x moves the statistics too. What that takes away from the gradient of a normalised value is its
    mean, and its projection on the normalised values.
    """
    axes = tuple(range(x.ndim - 1))
    z = normalised(x, statistics, layer)
    of_weight, of_bias = (dy * z).sum(axis=axes), dy.sum(axis=axes)
    dz = dy if weight is None else dy * weight
    if training:
        dz = dz - dz.mean(axis=axes) - z * (dz * z).mean(axis=axes)
    return dz / np.sqrt(statistics.variance + layer.epsilon), of_weight, of_bias


def group_backward(x: Array, dy: Array, layer: GroupNorm, weight: Array | None = None) -> tuple[Array, Array, Array]:
    """Return the gradients of x, γ and β: as `backward` while training, with the means of each image's groups."""
    statistics = group_statistics(x, layer)
    z = normalised(x, statistics, layer)
    dz = dy if weight is None else dy * weight
    dz = dz - _group_means(dz, layer) - z * _group_means(dz * z, layer)
    return dz / np.sqrt(statistics.variance + layer.epsilon), (dy * z).sum(axis=(0, 1, 2)), dy.sum(axis=(0, 1, 2))


def pixel_backward(x: Array, dy: Array, layer: LayerNorm2d, weight: Array | None = None) -> tuple[Array, Array, Array]:
    """Return the gradients of x, γ and β: as `backward` while training, with the means of each pixel's channels."""
    statistics, axes = pixel_statistics(x), tuple(range(x.ndim - 1))
    z = normalised(x, statistics, layer)
    dz = dy if weight is None else dy * weight
    dz = dz - dz.mean(axis=-1, keepdims=True) - z * (dz * z).mean(axis=-1, keepdims=True)
    return dz / np.sqrt(statistics.variance + layer.epsilon), (dy * z).sum(axis=axes), dy.sum(axis=axes)


def moved(running: Statistics, batch: Statistics, count: int, layer: BatchNorm2d) -> Statistics:
    """Return running averages after a batch of `count` values a channel.

    The variance that goes into them is the unbiased one, count / (count - 1) times that of the batch. That of a single
    value, of which nothing is known, counts as 0.
    """
    unbiased = batch.variance * (count / max(count - 1, 1))
    return Statistics(
        running.mean + layer.momentum * (batch.mean - running.mean),
        running.variance + layer.momentum * (unbiased - running.variance),
    )


def _running(call: Call[BatchNorm2d]) -> Statistics:
    return Statistics(call.variables["running_mean"], call.variables["running_var"])


def _takes_batch(call: Call[BatchNorm2d]) -> bool:
    """Whether a BatchNorm2d takes the statistics of the batch: while training, unless its own are frozen."""
    return call.draw is not None and not call.layer.frozen


def _result(call: Call[BatchNorm2d]) -> LayerResult:
    x, weight, bias = call.x, call.variables.get("weight"), call.variables.get("bias")
    if not _takes_batch(call):
        kept = {name: call.variables[name] for name in ("running_mean", "running_var")}
        y = forward(x, _running(call), call.layer, weight, bias)
        return LayerResult(y) if call.draw is None else LayerResult(y, buffers=kept)
    batch = batch_statistics(x)
    running = moved(_running(call), batch, x.size // x.shape[-1], call.layer)
    buffers = {"running_mean": running.mean, "running_var": running.variance}
    return LayerResult(forward(x, batch, call.layer, weight, bias), buffers=buffers)


def _sent(call: Call[BatchNorm2d], dy: Array) -> Sent:
    training = _takes_batch(call)
    statistics = batch_statistics(call.x) if training else _running(call)
    weight = call.variables.get("weight")
    dx, of_weight, of_bias = backward(call.x, statistics, dy, call.layer, weight, training=training)
    return Sent((dx,), {"weight": of_weight, "bias": of_bias} if call.layer.affine else {})


def _group_result(call: Call[GroupNorm]) -> LayerResult:
    statistics = group_statistics(call.x, call.layer)
    return LayerResult(
        forward(call.x, statistics, call.layer, call.variables.get("weight"), call.variables.get("bias"))
    )


def _group_sent(call: Call[GroupNorm], dy: Array) -> Sent:
    dx, of_weight, of_bias = group_backward(call.x, dy, call.layer, call.variables.get("weight"))
    return Sent((dx,), {"weight": of_weight, "bias": of_bias} if call.layer.affine else {})


def _pixel_result(call: Call[LayerNorm2d]) -> LayerResult:
    statistics = pixel_statistics(call.x)
    return LayerResult(
        forward(call.x, statistics, call.layer, call.variables.get("weight"), call.variables.get("bias"))
    )


def _pixel_sent(call: Call[LayerNorm2d], dy: Array) -> Sent:
    dx, of_weight, of_bias = pixel_backward(call.x, dy, call.layer, call.variables.get("weight"))
    return Sent((dx,), {"weight": of_weight, "bias": of_bias} if call.layer.affine else {})


RULES: Rules = {
    BatchNorm2d: ReferenceRule(_result, _sent),
    GroupNorm: ReferenceRule(_group_result, _group_sent),
    LayerNorm2d: ReferenceRule(_pixel_result, _pixel_sent),
}
