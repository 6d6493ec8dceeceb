"""The optimizers as PyTorch's own: its classes, their arguments, and its names of what they keep.

What PyTorch lacks is written as it writes its own: an optimizer over groups of parameters that keeps its memory in
`state`, which the engine fills before the first step. Muon is here because PyTorch's takes no filters of convolutions,
and iterates in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from neocog.errors import SettingError
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


@dataclass(frozen=True, slots=True)
class OptimizerRule:
    """How PyTorch runs one of our optimizers.

    Arguments:
        kind: PyTorch's class.
        settings: its arguments, from our optimizer.
        memory: our names of what is kept beside each parameter → PyTorch's.
        counts: whether the number of steps is kept there, too.
        more: numbers that are kept there, from our optimizer and the number of steps.
        fuses: whether PyTorch has one kernel that updates many parameters, on processors and GPUs.
    """

    kind: Any
    settings: Callable[[Any], dict[str, object]]
    memory: dict[str, str]
    counts: bool = False
    more: Callable[[Any, int], dict[str, float]] = field(default=lambda optimizer, steps: {})
    fuses: bool = False


class LambModule(torch.optim.Optimizer):  # type: ignore[misc]
    """LAMB, of groups with the keys lr, weight_decay, betas, eps and layerwise."""

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self) -> None:
        """Take one step."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for weight in group["params"]:
                kept = self.state[weight]
                kept["step"] += 1
                steps = float(kept["step"])
                mean = kept["exp_avg"].mul_(beta1).add_(weight.grad, alpha=1 - beta1)
                square = kept["exp_avg_sq"].mul_(beta2).addcmul_(weight.grad, weight.grad, value=1 - beta2)
                root = (square / (1 - beta2**steps)).sqrt() + group["eps"]
                direction = mean / (1 - beta1**steps) / root + group["weight_decay"] * weight
                ratio = weight.norm() / direction.norm()
                scaled = (ratio > 0) & (ratio < torch.inf) if group["layerwise"] else torch.zeros_like(ratio).bool()
                weight.sub_(group["lr"] * torch.where(scaled, ratio, 1.0) * direction)


class MuonModule(torch.optim.Optimizer):  # type: ignore[misc]
    """Muon, of groups with the keys lr, weight_decay and rule: ours."""

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self) -> None:
        """Take one step."""
        for group in self.param_groups:
            rule: Muon = group["rule"]
            for weight in group["params"]:
                mean = self.state[weight]["momentum_buffer"].lerp_(weight.grad, 1 - rule.momentum)
                direction = weight.grad.lerp(mean, rule.momentum) if rule.nesterov else mean
                matrix = direction.flatten(1)
                step = rule.scale(matrix.shape[1], matrix.shape[0]) * _orthogonalised(rule, matrix)
                weight.mul_(1 - group["lr"] * group["weight_decay"]).sub_(group["lr"] * step.view_as(weight))


def _orthogonalised(rule: Muon, x: Any) -> Any:
    a, b, c = rule.coefficients
    turned = x.shape[0] > x.shape[1]
    x = (x.T if turned else x) / x.norm().clamp(min=rule.epsilon)
    for _ in range(rule.iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if turned else x


class LookaheadModule(torch.optim.Optimizer):  # type: ignore[misc]
    """Lookahead around another optimizer, whose groups and state it shares; of groups with the key around: ours."""

    def __init__(self, within: Any) -> None:
        super().__init__(within.param_groups, {})
        self.within = within
        self.param_groups, self.state = within.param_groups, within.state

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self) -> None:
        """Take one step of the optimizer, and meet the slow weights where it is time."""
        for group in self.param_groups:
            for weight in group["params"]:
                kept = self.state[weight]
                kept["taken"] += 1
                if kept["taken"] == 1:
                    kept["slow"].copy_(weight)
        self.within.step()
        for group in self.param_groups:
            rule: Lookahead = group["around"]
            for weight in group["params"]:
                kept = self.state[weight]
                if kept["taken"] % rule.every == 0:
                    weight.copy_(kept["slow"].lerp_(weight, rule.share_at(int(kept["taken"]))))


def _sgd(optimizer: SGD) -> dict[str, object]:
    return {"momentum": optimizer.momentum, "nesterov": optimizer.nesterov}


def _adam(optimizer: Adam) -> dict[str, object]:
    return {"betas": (optimizer.beta1, optimizer.beta2), "eps": optimizer.epsilon}


_MEANS = {"mean": "exp_avg", "square": "exp_avg_sq"}
RULES: dict[type, OptimizerRule] = {
    SGD: OptimizerRule(torch.optim.SGD, _sgd, {"momentum": "momentum_buffer"}, fuses=True),
    Adam: OptimizerRule(torch.optim.Adam, _adam, _MEANS, counts=True, fuses=True),
    AdamW: OptimizerRule(torch.optim.AdamW, _adam, _MEANS, counts=True, fuses=True),
    NAdam: OptimizerRule(
        torch.optim.NAdam,
        lambda optimizer: {**_adam(optimizer), "momentum_decay": optimizer.momentum_decay},
        _MEANS,
        counts=True,
        more=lambda optimizer, steps: {"mu_product": optimizer.product(steps)},
    ),
    LAMB: OptimizerRule(
        LambModule, lambda optimizer: {**_adam(optimizer), "layerwise": optimizer.layerwise}, _MEANS, counts=True
    ),
    RMSprop: OptimizerRule(
        torch.optim.RMSprop,
        lambda optimizer: {
            "alpha": optimizer.smoothing,
            "eps": optimizer.epsilon,
            "momentum": optimizer.momentum,
        },
        {"square": "square_avg", "momentum": "momentum_buffer"},
        counts=True,
    ),
    Adagrad: OptimizerRule(
        torch.optim.Adagrad, lambda optimizer: {"eps": optimizer.epsilon}, {"square": "sum"}, counts=True
    ),
    Adadelta: OptimizerRule(
        torch.optim.Adadelta,
        lambda optimizer: {"rho": optimizer.smoothing, "eps": optimizer.epsilon},
        {"square": "square_avg", "moved": "acc_delta"},
        counts=True,
    ),
    Muon: OptimizerRule(MuonModule, lambda optimizer: {"rule": optimizer}, {"momentum": "momentum_buffer"}),
}
"""Lookahead goes around one of them."""


def make_optimizer(optimizer: Optimizer, groups: list[dict[str, Any]], *, fused: bool = False) -> Any:
    """Make PyTorch's optimizer of parameter groups, a fused one where that is asked for and there is one."""
    if isinstance(optimizer, Lookahead):
        around = [{**group, "around": optimizer} for group in groups]
        return LookaheadModule(make_optimizer(optimizer.optimizer, around, fused=fused))
    rule = _rule_of(optimizer)
    defaults = {"lr": optimizer.learning_rate, **rule.settings(optimizer)}
    if rule.kind in (LambModule, MuonModule):
        return rule.kind(groups, defaults)
    return rule.kind(groups, **defaults, **({"fused": True} if fused and rule.fuses else {}))


def kept_names(optimizer: Optimizer) -> dict[str, str]:
    """Return PyTorch's names of what an optimizer keeps, by ours."""
    if isinstance(optimizer, Lookahead):
        return {**kept_names(optimizer.optimizer), "slow": "slow"}
    names = _rule_of(optimizer).memory
    return {name: names[name] for name in optimizer.memory}


def kept_numbers(optimizer: Optimizer, steps: int, device: Any = None) -> dict[str, Any]:
    """Return what else lies in PyTorch's state of a parameter after so many steps.

    Arguments:
        device: where fused optimizers count, in float32; None: none is fused.
    """
    if isinstance(optimizer, Lookahead):
        return {**kept_numbers(optimizer.optimizer, steps, device), "taken": float(steps)}
    rule = _rule_of(optimizer)
    numbers = {**({"step": float(steps)} if rule.counts else {}), **rule.more(optimizer, steps)}
    if device is not None and rule.fuses:
        return {name: torch.tensor(value, dtype=torch.float32, device=device) for name, value in numbers.items()}
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in numbers.items()}


def _rule_of(optimizer: Optimizer) -> OptimizerRule:
    rule = RULES.get(type(optimizer))
    if rule is None:
        raise SettingError(f"unknown optimizer {optimizer!r}")
    return rule
