"""The optimizers as PyTorch's own: its classes, their arguments, and its names of what they keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from neocog.errors import SettingError
from neocog.nn.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop


@dataclass(frozen=True, slots=True)
class OptimizerRule:
    """How PyTorch runs one of our optimizers.

    Arguments:
        kind: PyTorch's class.
        settings: its arguments, from our optimizer.
        memory: our names of what is kept beside each parameter → PyTorch's.
        counts: whether the number of steps is kept there, too.
    """

    kind: Any
    settings: Callable[[Any], dict[str, object]]
    memory: dict[str, str]
    counts: bool = False


def _sgd(optimizer: SGD) -> dict[str, object]:
    return {"momentum": optimizer.momentum, "nesterov": optimizer.nesterov}


def _adam(optimizer: Adam) -> dict[str, object]:
    return {"betas": (optimizer.beta1, optimizer.beta2), "eps": optimizer.epsilon}


def _rmsprop(optimizer: RMSprop) -> dict[str, object]:
    return {"alpha": optimizer.smoothing, "eps": optimizer.epsilon, "momentum": optimizer.momentum}


_MEANS = {"mean": "exp_avg", "square": "exp_avg_sq"}
RULES: dict[type, OptimizerRule] = {
    SGD: OptimizerRule(torch.optim.SGD, _sgd, {"momentum": "momentum_buffer"}),
    Adam: OptimizerRule(torch.optim.Adam, _adam, _MEANS, counts=True),
    AdamW: OptimizerRule(torch.optim.AdamW, _adam, _MEANS, counts=True),
    RMSprop: OptimizerRule(
        torch.optim.RMSprop, _rmsprop, {"square": "square_avg", "momentum": "momentum_buffer"}, counts=True
    ),
}


def make_optimizer(optimizer: Optimizer, groups: list[dict[str, Any]]) -> Any:
    """Make PyTorch's optimizer of parameter groups."""
    rule = RULES.get(type(optimizer))
    if rule is None:
        raise SettingError(f"unknown optimizer {optimizer!r}")
    return rule.kind(groups, optimizer.learning_rate, **rule.settings(optimizer))
