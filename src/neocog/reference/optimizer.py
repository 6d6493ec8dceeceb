"""The optimizers: one step of one parameter, by PyTorch's formulas."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from neocog.errors import SettingError
from neocog.nn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop
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
        gradient: of the loss, without weight decay.
        memory: what the last step gave, or `initial_memory`.
        learning_rate: step size.
        step: number of this step, from 1.

    Returns:
        the parameter and the memory after the step.
    """
    rule = RULES.get(type(optimizer))
    if rule is None:
        raise SettingError(f"unknown optimizer {optimizer!r}")
    return rule(optimizer, weight, gradient, memory, learning_rate, optimizer.scalars(step))


def _sgd(
    optimizer: SGD,
    weight: Array,
    gradient: Array,
    memory: Mapping[str, Array],
    learning_rate: float,
    scalars: Sequence[float],
) -> tuple[Array, OptimizerMemory]:
    g = gradient + optimizer.weight_decay * weight
    if not optimizer.momentum:
        return weight - learning_rate * g, {}
    # PyTorch starts the momentum at the first gradient; from zeros the first step gives the same.
    v = optimizer.momentum * memory["momentum"] + g
    direction = g + optimizer.momentum * v if optimizer.nesterov else v
    return weight - learning_rate * direction, {"momentum": v}


def _adam(
    optimizer: Adam,
    weight: Array,
    gradient: Array,
    memory: Mapping[str, Array],
    learning_rate: float,
    scalars: Sequence[float],
) -> tuple[Array, OptimizerMemory]:
    g = gradient
    if isinstance(optimizer, AdamW):
        weight = weight * (1.0 - learning_rate * optimizer.weight_decay)
    else:
        g = g + optimizer.weight_decay * weight
    mean = optimizer.beta1 * memory["mean"] + (1.0 - optimizer.beta1) * g
    square = optimizer.beta2 * memory["square"] + (1.0 - optimizer.beta2) * g * g
    of_mean, of_root = scalars
    root = np.sqrt(square) / of_root + optimizer.epsilon
    return weight - learning_rate / of_mean * mean / root, {"mean": mean, "square": square}


def _rmsprop(
    optimizer: RMSprop,
    weight: Array,
    gradient: Array,
    memory: Mapping[str, Array],
    learning_rate: float,
    scalars: Sequence[float],
) -> tuple[Array, OptimizerMemory]:
    g = gradient + optimizer.weight_decay * weight
    square = optimizer.smoothing * memory["square"] + (1.0 - optimizer.smoothing) * g * g
    step = g / (np.sqrt(square) + optimizer.epsilon)
    if not optimizer.momentum:
        return weight - learning_rate * step, {"square": square}
    v = optimizer.momentum * memory["momentum"] + step
    return weight - learning_rate * v, {"square": square, "momentum": v}


RULES: dict[type, Callable[..., tuple[Array, OptimizerMemory]]] = {
    SGD: _sgd,
    Adam: _adam,
    AdamW: _adam,
    RMSprop: _rmsprop,
}
