"""Normalization by the statistics of a batch, of groups, and of pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neocog.nn.layers import BatchNorm2d, GroupNorm, Layer, LayerNorm2d
from neocog.reference import normalization
from rounding.rule import Back, Mass, Rule, Stray, Use, gamma


@dataclass(frozen=True)
class Normalised:
    """What batch statistics are, exactly and at worst.

    With n values a channel, the mean strays by the mean of what its terms do, and by n + 1 roundings. The variance is a
    mean of d² with d = x - mean, so it strays by the mean of 2|d|·e(d) + e(d)², and by n + 2 roundings, of d² in two
    passes; algorithms that need one (Welford's, and Chan's, which merges parts) round √(variance · mean of x²) instead
    (Chan, Golub and LeVeque 1983). The mean of squares minus the squared mean would round the mean of x², which the
    bound does not allow.

    s = 1 / √(variance + ε) changes by the factor 1 / √(1 - e / (variance + ε)) at most, where that is defined; else it
    may be anything up to 1 / √ε. z = d · s strays with both factors.
    """

    mean: np.ndarray
    of_mean: np.ndarray
    of_variance: np.ndarray
    s: np.ndarray
    of_s: np.ndarray
    z: np.ndarray
    of_z: np.ndarray


def batch_error(x: np.ndarray, e: np.ndarray, epsilon: float) -> Normalised:
    """Bound the batch statistics of x, and the normalised values."""
    axes, n = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    size = np.abs(x) + e
    batch = normalization.batch_statistics(x)
    of_mean = e.mean(axis=axes) + gamma(n + 1) * size.mean(axis=axes)
    d = np.abs(x - batch.mean)
    of_d = e + of_mean + gamma(1) * (d + e + of_mean)
    square = np.square(d + of_d).mean(axis=axes)
    of_variance = (2 * d * of_d + of_d**2).mean(axis=axes)
    of_variance = of_variance + gamma(n + 2) * (square + np.sqrt(square * np.square(size).mean(axis=axes)))
    under = batch.variance + epsilon
    s = 1 / np.sqrt(under)
    share = of_variance / under
    of_s = np.where(share < 1, s * (1 / np.sqrt(np.maximum(1 - share, 1e-300)) - 1), np.inf)
    least = epsilon + np.maximum(batch.variance - of_variance, 0)
    of_s = np.minimum(of_s, 1 / np.sqrt(epsilon)) + gamma(4) / np.sqrt(least)
    of_z = of_d * (s + of_s) + d * of_s + gamma(2) * (d + of_d) * (s + of_s)
    return Normalised(batch.mean, of_mean, of_variance, s, of_s, d * s, of_z)


def _norm_forward(use: Use) -> Stray:
    layer, stored = use.layer, use.parameters
    weight = np.abs(stored.get("weight", np.ones(use.x.shape[-1])))
    bias = np.abs(stored.get("bias", np.zeros(use.x.shape[-1])))
    if not use.training or layer.frozen:
        # x · a + b with a = γ / √(running_var + ε): or with a multiplied into the filters of a convolution before it,
        # so that each of its terms is rounded once more.
        a = weight / np.sqrt(stored["running_var"] + layer.epsilon)
        total = a * (use.masses[0].size + np.abs(stored["running_mean"])) + bias
        stays = {name: np.zeros_like(stored[name]) for name in ("running_mean", "running_var")}
        mass = Mass(total, use.masses[0].roundings + 8)
        return Stray(a * use.e + gamma(8) * total, mass, stays if use.training else {})
    found = batch_error(use.x, use.e, layer.epsilon)
    # It may be computed as x · a + b, too, whose terms are larger than their sum.
    terms = weight * (found.s + found.of_s) * (use.sizes[0] + np.abs(found.mean) + found.of_mean) + bias
    error = found.of_z * weight + gamma(4) * (terms + (found.z + found.of_z) * weight)
    n, share = use.x.size // use.x.shape[-1], layer.momentum
    unbiased, batch = n / max(n - 1, 1), normalization.batch_statistics(use.x)
    sizes = {
        "running_mean": np.abs(stored["running_mean"]) + np.abs(batch.mean) + found.of_mean,
        "running_var": stored["running_var"] + unbiased * (batch.variance + found.of_variance),
    }
    moved = {"running_mean": share * found.of_mean, "running_var": share * unbiased * found.of_variance}
    return Stray(error, buffers={name: moved[name] + gamma(5) * size for name, size in sizes.items()})


def _norm_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    layer, axes, n = use.layer, tuple(range(dy.ndim - 1)), dy.size // dy.shape[-1]
    weight = np.abs(use.parameters.get("weight", np.ones(dy.shape[-1])))
    size = np.abs(dy) + e_dy
    batch = use.training and not layer.frozen
    if batch:
        found = batch_error(use.x, use.e, layer.epsilon)
        mean, s, of_s, z, of_z = found.mean, found.s, found.of_s, found.z, found.of_z
    else:
        mean, variance = use.parameters["running_mean"], use.parameters["running_var"]
        s = 1 / np.sqrt(variance + layer.epsilon)
        of_s = gamma(4) * s
        z = np.abs(use.x - mean) * s
        of_z = use.e * (s + of_s) + gamma(6) * (use.sizes[0] + np.abs(mean)) * s
    of_products = e_dy * z + size * of_z  # of dy · z
    of_weight = of_products.sum(axis=axes) + gamma(n + 3) * (size * (z + of_z)).sum(axis=axes)
    of_bias = e_dy.sum(axis=axes) + gamma(n + 1) * size.sum(axis=axes)
    learnt = {"weight": of_weight, "bias": of_bias} if layer.affine else {}
    if not batch:
        return Back((weight * (e_dy * (s + of_s) + np.abs(dy) * of_s + gamma(2) * size * (s + of_s)),), learnt)
    inner, off = through_statistics(found, use.x, use.e, dy, e_dy, of_bias, of_weight)
    scale = weight * (s + of_s)
    return Back((scale * off + weight * of_s * inner + gamma(3) * scale * (inner + off),), learnt)


def through_statistics(
    found: Normalised,
    x: np.ndarray,
    e: np.ndarray,
    dy: np.ndarray,
    e_dy: np.ndarray,
    of_sum: np.ndarray,
    of_moved: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the size of dy - A - z · B, with A and B the means of dy and of dy · z, and its bound.

    Arguments:
        found: the statistics.
        x, e: the input, and its bound.
        dy, e_dy: the gradient of the normalised values, and its bound.
        of_sum, of_moved: bounds of the sums of dy, and of dy · z.
    """
    axes, n, size = tuple(range(dy.ndim - 1)), dy.size // dy.shape[-1], np.abs(dy) + e_dy
    s, of_s, z, of_z = found.s, found.of_s, found.z, found.of_z
    signed = z * np.sign(x - found.mean)
    a, b = np.abs(dy.mean(axis=axes)), np.abs((dy * signed).mean(axis=axes))
    of_a, of_b = (of_sum + gamma(1) * np.abs(dy).sum(axis=axes)) / n, of_moved / n + gamma(1) * b
    inner = np.abs(dy - dy.mean(axis=axes) - signed * (dy * signed).mean(axis=axes))
    off = e_dy + of_a + of_z * (b + of_b) + z * of_b
    # It may be computed from x itself: dy - A - (x - mean) · s · B, with the mean's part apart from that of x.
    apart = (np.abs(x) + e + np.abs(found.mean)) * (s + of_s) * (b + of_b)
    return inner, off + gamma(5) * (size + a + of_a + (z + of_z) * (b + of_b) + apart)


def _as_batch(values: np.ndarray, layer: GroupNorm | LayerNorm2d) -> np.ndarray:
    """Lay (N, H, W, C) out as a batch of values, each group of each image, or each pixel, being its own channel."""
    if isinstance(layer, LayerNorm2d):
        return values.reshape(-1, values.shape[-1]).T
    count, height, width, _ = values.shape
    parts = values.reshape(count, height, width, layer.groups, -1).transpose(1, 2, 4, 0, 3)
    return parts.reshape(-1, count * layer.groups)


def _as_images(values: np.ndarray, x: np.ndarray, layer: GroupNorm | LayerNorm2d) -> np.ndarray:
    """Undo that; one row stands for all."""
    if isinstance(layer, LayerNorm2d):
        return np.broadcast_to(values, (x.shape[-1], x.size // x.shape[-1])).T.reshape(x.shape)
    count, height, width, channels = x.shape
    size = channels // layer.groups
    parts = np.broadcast_to(values, (height * width * size, count * layer.groups))
    return parts.reshape(height, width, size, count, layer.groups).transpose(3, 0, 1, 4, 2).reshape(x.shape)


def _learned(use: Use) -> tuple[np.ndarray, np.ndarray]:
    stored, channels = use.parameters, use.x.shape[-1]
    return np.abs(stored.get("weight", np.ones(channels))), np.abs(stored.get("bias", np.zeros(channels)))


def _group_forward(use: Use) -> Stray:
    layer, (weight, bias) = use.layer, _learned(use)
    found = batch_error(_as_batch(use.x, layer), _as_batch(use.e, layer), layer.epsilon)
    s, mean, z, of_z = (
        _as_images(values, use.x, layer)
        for values in (found.s + found.of_s, np.abs(found.mean) + found.of_mean, found.z, found.of_z)
    )
    terms = weight * s * (use.sizes[0] + mean) + bias
    return Stray(of_z * weight + gamma(4) * (terms + (z + of_z) * weight))


def _group_backward(use: Use, dy: np.ndarray, e_dy: np.ndarray) -> Back:
    """Follow dγ = sum dy · z and dβ = sum dy over all images, and dx through the statistics of each group."""
    layer, weight = use.layer, _learned(use)[0]
    x, e = _as_batch(use.x, layer), _as_batch(use.e, layer)
    found = batch_error(x, e, layer.epsilon)
    size, terms, axes = np.abs(dy) + e_dy, dy.size // dy.shape[-1], tuple(range(dy.ndim - 1))
    z, of_z = _as_images(found.z, use.x, layer), _as_images(found.of_z, use.x, layer)
    of_weight = (e_dy * z + size * of_z).sum(axis=axes) + gamma(terms + 3) * (size * (z + of_z)).sum(axis=axes)
    of_bias = e_dy.sum(axis=axes) + gamma(terms + 1) * size.sum(axis=axes)
    # The gradient of z is dy · γ.
    signed = use.parameters.get("weight", np.ones(dy.shape[-1]))
    dz, e_dz = _as_batch(dy * signed, layer), _as_batch(weight * (e_dy + gamma(1) * size), layer)
    most, n = np.abs(dz) + e_dz, len(dz)
    of_sum = e_dz.sum(axis=0) + gamma(n + 1) * most.sum(axis=0)
    of_moved = (e_dz * found.z + most * found.of_z).sum(axis=0)
    of_moved = of_moved + gamma(n + 3) * (most * (found.z + found.of_z)).sum(axis=0)
    inner, off = through_statistics(found, x, e, dz, e_dz, of_sum, of_moved)
    scale = found.s + found.of_s
    of_x = scale * off + found.of_s * inner + gamma(3) * scale * (inner + off)
    learnt = {"weight": of_weight, "bias": of_bias} if layer.affine else {}
    return Back((_as_images(of_x, use.x, layer),), learnt)


RULES: dict[type[Layer], Rule] = {
    BatchNorm2d: Rule(_norm_forward, _norm_backward),
    **dict.fromkeys((GroupNorm, LayerNorm2d), Rule(_group_forward, _group_backward)),
}
