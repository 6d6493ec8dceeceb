"""The optimizers: one step of one parameter, by PyTorch's formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from neocog.errors import SettingError
from neocog.nn.groups import CLIP_EPSILON, GradientClip, Penalty
from neocog.nn.optimizers import (
    LAMB,
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Lookahead,
    Muon,
    NAdam,
    Optimizer,
    RMSprop,
)
from neocog.reference.arrays import Array

OptimizerMemory = dict[str, Array]


def initial_memory(optimizer: Optimizer, weight: Array) -> OptimizerMemory:
    """Return the memory before the first step: zeros of the parameter's shape."""
    return {name: np.zeros_like(weight) for name in optimizer.memory}


def update(
    optimizer: Optimizer,
    weight: Array,
    gradient: Array,
    memory: Mapping[str, Array],
    *,
    learning_rate: float,
    step: int,
) -> tuple[Array, OptimizerMemory]:
    """Take one step.

    Arguments:
        optimizer: which, and its settings; its own learning rate is not looked at.
        weight: the parameter before the step.
        gradient: of the loss, clipped and with penalties, without weight decay.
        memory: what the last step gave, or `initial_memory`.
        learning_rate: step size.
        step: number of this step, from 1.

    Returns:
        the parameter and the memory after the step.
    """
    scalars = optimizer.scalars(step)
    if isinstance(optimizer, Lookahead):
        fast, after = update(optimizer.optimizer, weight, gradient, memory, learning_rate=learning_rate, step=step)
        *_, begins, share = scalars
        slow = weight if begins else memory["slow"]
        if share:
            slow = fast = slow + share * (fast - slow)
        return fast, {**after, "slow": slow}
    rule = RULES.get(type(optimizer))
    if rule is None:
        raise SettingError(f"unknown optimizer {optimizer!r}")
    if not optimizer.decoupled and not isinstance(optimizer, LAMB):
        gradient = gradient + optimizer.weight_decay * weight
    direction, after = rule(optimizer, weight, gradient, memory, scalars)
    if optimizer.decoupled:
        weight = weight * (1.0 - learning_rate * optimizer.weight_decay)
    return weight - learning_rate * direction, after


def penalised(penalty: Penalty, weight: Array, gradient: Array) -> Array:
    """Return the gradient of the loss and a penalty on the size of a parameter."""
    return gradient + penalty.l1 * np.sign(weight) + penalty.l2 * weight


def clipped(clip: GradientClip, gradients: Mapping[str, Array]) -> dict[str, Array]:
    """Return the gradients of all trained parameters within their limit."""
    if clip.value is not None:
        gradients = {name: np.clip(gradient, -clip.value, clip.value) for name, gradient in gradients.items()}
    if clip.norm is not None:
        norm = np.sqrt(sum(float(np.square(gradient).sum()) for gradient in gradients.values()))
        factor = min(1.0, clip.norm / (norm + CLIP_EPSILON))
        return {name: factor * gradient for name, gradient in gradients.items()}
    return dict(gradients)


def _sgd(
    optimizer: SGD, weight: Array, g: Array, memory: Mapping[str, Array], scalars: Sequence[float]
) -> tuple[Array, OptimizerMemory]:
    if not optimizer.momentum:
        return g, {}
    # PyTorch starts the momentum at the first gradient; from zeros the first step gives the same.
    v = optimizer.momentum * memory["momentum"] + g
    return g + optimizer.momentum * v if optimizer.nesterov else v, {"momentum": v}


def _means(optimizer: Adam, g: Array, memory: Mapping[str, Array]) -> OptimizerMemory:
    return {
        "mean": optimizer.beta1 * memory["mean"] + (1.0 - optimizer.beta1) * g,
        "square": optimizer.beta2 * memory["square"] + (1.0 - optimizer.beta2) * g * g,
    }


def _adam(
    optimizer: Adam, weight: Array, g: Array, memory: Mapping[str, Array], scalars: Sequence[float]
) -> tuple[Array, OptimizerMemory]:
    after, (of_mean, of_root) = _means(optimizer, g, memory), scalars
    return after["mean"] / of_mean / (np.sqrt(after["square"]) / of_root + optimizer.epsilon), after


def _nadam(
    optimizer: NAdam, weight: Array, g: Array, memory: Mapping[str, Array], scalars: Sequence[float]
) -> tuple[Array, OptimizerMemory]:
    after, (of_gradient, of_mean, of_root) = _means(optimizer, g, memory), scalars
    root = np.sqrt(after["square"]) / of_root + optimizer.epsilon
    return (of_gradient * g + of_mean * after["mean"]) / root, after


def _lamb(
    optimizer: LAMB, weight: Array, g: Array, memory: Mapping[str, Array], scalars: Sequence[float]
) -> tuple[Array, OptimizerMemory]:
    direction, after = _adam(optimizer, weight, g, memory, scalars)
    direction = direction + optimizer.weight_decay * weight
    of_weight, of_direction = np.linalg.norm(weight), np.linalg.norm(direction)
    if optimizer.layerwise and of_weight and of_direction:
        direction = of_weight / of_direction * direction
    return direction, after


def _rmsprop(
    optimizer: RMSprop, weight: Array, g: Array, memory: Mapping[str, Array], scalars: Sequence[float]
) -> tuple[Array, OptimizerMemory]:
    square = optimizer.smoothing * memory["square"] + (1.0 - optimizer.smoothing) * g * g
    step = g / (np.sqrt(square) + optimizer.epsilon)
    if not optimizer.momentum:
        return step, {"square": square}
    v = optimizer.momentum * memory["momentum"] + step
    return v, {"square": square, "momentum": v}


def _adagrad(
    optimizer: Adagrad, weight: Array, g: Array, memory: Mapping[str, Array], scalars: Sequence[float]
) -> tuple[Array, OptimizerMemory]:
    square = memory["square"] + g * g
    return g / (np.sqrt(square) + optimizer.epsilon), {"square": square}


def _adadelta(
    optimizer: Adadelta, weight: Array, g: Array, memory: Mapping[str, Array], scalars: Sequence[float]
) -> tuple[Array, OptimizerMemory]:
    share = optimizer.smoothing
    square = share * memory["square"] + (1.0 - share) * g * g
    step = np.sqrt(memory["moved"] + optimizer.epsilon) / np.sqrt(square + optimizer.epsilon) * g
    return step, {"square": square, "moved": share * memory["moved"] + (1.0 - share) * step * step}


def _muon(
    optimizer: Muon, weight: Array, g: Array, memory: Mapping[str, Array], scalars: Sequence[float]
) -> tuple[Array, OptimizerMemory]:
    share = optimizer.momentum
    v = share * memory["momentum"] + (1.0 - share) * g
    matrix = (share * v + (1.0 - share) * g if optimizer.nesterov else v).reshape(-1, weight.shape[-1])
    found = optimizer.scale(*matrix.shape) * orthogonalised(optimizer, matrix)
    return found.reshape(weight.shape), {"momentum": v}


def orthogonalised(optimizer: Muon, matrix: Array) -> Array:
    """Bring the singular values of a matrix near 1, by Muon's iteration."""
    a, b, c = optimizer.coefficients
    x: Array = matrix / max(float(np.linalg.norm(matrix)), optimizer.epsilon)
    for _ in range(optimizer.iterations):
        gram = x.T @ x if x.shape[1] <= x.shape[0] else x @ x.T
        polynomial = b * gram + c * gram @ gram
        x = a * x + (x @ polynomial if x.shape[1] <= x.shape[0] else polynomial @ x)
    return x


RULES: dict[type, Callable[..., tuple[Array, OptimizerMemory]]] = {
    SGD: _sgd,
    Adam: _adam,
    AdamW: _adam,
    NAdam: _nadam,
    LAMB: _lamb,
    RMSprop: _rmsprop,
    Adagrad: _adagrad,
    Adadelta: _adadelta,
    Muon: _muon,
}
"""How each finds its direction, and what it keeps; Lookahead has the direction of the one within."""
