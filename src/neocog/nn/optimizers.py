"""How parameters follow their gradients. Frozen data; the engines compute the update.

The formulas are those of PyTorch 2, so that both give the same numbers. An optimizer of the list `OPTIMIZERS` is known
to files, to the command line (by its name in small letters) and as a public name. Each engine has a table of rules with
an entry for each of them: emit/optimizers.py, reference/optimizer.py, engines/torch/optimizers.py.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

from neocog.errors import SettingError
from neocog.nn.limits import check_flag, is_number, shown

__all__ = ["SGD", "Adam", "AdamW", "RMSprop"]


def _check(kind: str, name: str, value: float, low: float, high: float = math.inf) -> None:
    if not (is_number(value) and low <= value < high):
        bounds = f"in [{low:g}, {high:g})" if math.isfinite(high) else f"{low:g} or more"
        raise SettingError(f"{kind}: {name} must be {bounds}, got {shown(value)}")


@dataclass(frozen=True, slots=True)
class Optimizer:
    """Base of all optimizers.

    Weight decay is for the weights of convolutions and fully connected layers; see `neocog.nn.groups` for other ways.
    """

    learning_rate: float = 0.001
    _: KW_ONLY
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        kind = type(self).__name__
        _check(kind, "learning_rate", self.learning_rate, 0.0)
        _check(kind, "weight_decay", self.weight_decay, 0.0)

    @property
    def memory(self) -> tuple[str, ...]:
        """Names of the arrays that it keeps beside each parameter; a checkpoint stores them."""
        return ()

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the numbers that its formula takes from the number of the step, which counts from 1."""
        return ()


@dataclass(frozen=True, slots=True)
class SGD(Optimizer):
    """Stochastic gradient descent: v ← momentum · v + g; w ← w - learning_rate · v.

    Arguments:
        learning_rate: step size.
        weight_decay: g gets weight_decay · w added.
        momentum: share of the last step that is kept, in [0, 1).
        nesterov: step along g + momentum · v instead of v (Nesterov 1983; Sutskever et al. 2013).
    """

    learning_rate: float = 0.01
    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        Optimizer.__post_init__(self)
        _check("SGD", "momentum", self.momentum, 0.0, 1.0)
        check_flag("SGD", "nesterov", self.nesterov)
        if self.nesterov and self.momentum == 0.0:
            raise SettingError("SGD: nesterov needs a momentum above 0", hint="try momentum=0.9")

    @property
    def memory(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()


@dataclass(frozen=True, slots=True)
class Adam(Optimizer):
    """Step along the running mean of the gradient over the root of its running square (Kingma and Ba 2015).

    Arguments:
        learning_rate: step size.
        weight_decay: g gets weight_decay · w added, before the means.
        beta1, beta2: how much of the running mean and square is kept each step, in [0, 1).
        epsilon: added to the root, against division by zero.
    """

    _: KW_ONLY
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        Optimizer.__post_init__(self)
        kind = type(self).__name__
        _check(kind, "beta1", self.beta1, 0.0, 1.0)
        _check(kind, "beta2", self.beta2, 0.0, 1.0)
        _check(kind, "epsilon", self.epsilon, 0.0)

    @property
    def memory(self) -> tuple[str, ...]:
        return ("mean", "square")

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return 1 - beta1^step and sqrt(1 - beta2^step), which undo the means' start at zero."""
        return 1.0 - self.beta1**step, math.sqrt(1.0 - self.beta2**step)


@dataclass(frozen=True, slots=True)
class AdamW(Adam):
    """Adam with the weight decay applied to the weights themselves: w ← w - learning_rate · weight_decay · w
    (Loshchilov and Hutter 2019).
    """

    _: KW_ONLY
    weight_decay: float = 0.01


@dataclass(frozen=True, slots=True)
class RMSprop(Optimizer):
    """Divide the gradient by the root of its running square: s ← smoothing · s + (1 - smoothing) · g²;
    v ← momentum · v + g / (√s + ε); w ← w - learning_rate · v (Hinton 2012, lecture 6e of Neural networks for machine
    learning).

    Arguments:
        learning_rate: step size.
        weight_decay: g gets weight_decay · w added, before the square.
        smoothing: how much of the running square is kept each step, in [0, 1); PyTorch's alpha.
        epsilon: added to the root, against division by zero.
        momentum: share of the last step that is kept, in [0, 1).
    """

    learning_rate: float = 0.01
    _: KW_ONLY
    smoothing: float = 0.99
    epsilon: float = 1e-8
    momentum: float = 0.0

    def __post_init__(self) -> None:
        Optimizer.__post_init__(self)
        _check("RMSprop", "smoothing", self.smoothing, 0.0, 1.0)
        _check("RMSprop", "epsilon", self.epsilon, 0.0)
        _check("RMSprop", "momentum", self.momentum, 0.0, 1.0)

    @property
    def memory(self) -> tuple[str, ...]:
        return ("square", "momentum") if self.momentum else ("square",)


OPTIMIZERS: tuple[type[Optimizer], ...] = (SGD, Adam, AdamW, RMSprop)
