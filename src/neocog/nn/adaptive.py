"""Optimizers that scale each step by what gradients were: Adam and its kin, RMSprop, Adagrad, Adadelta.

They are part of `neocog.nn.optimizers`, which says where their formulas are.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar

from neocog.nn.limits import check_flag
from neocog.nn.optimizer import Optimizer, check_range


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
        check_range(kind, "beta1", self.beta1, 0.0, 1.0)
        check_range(kind, "beta2", self.beta2, 0.0, 1.0)
        check_range(kind, "epsilon", self.epsilon, 0.0)

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

    decoupled: ClassVar[bool] = True

    _: KW_ONLY
    weight_decay: float = 0.01


@dataclass(frozen=True, slots=True)
class NAdam(Adam):
    """Adam that looks ahead as Nesterov does: part of the step goes along the gradient itself (Dozat 2016).

    Arguments:
        learning_rate, weight_decay, beta1, beta2, epsilon: as Adam's.
        momentum_decay: how fast the share of the running mean grows: beta1 · (1 - 0.96^(step · momentum_decay) / 2).
    """

    learning_rate: float = 0.002
    _: KW_ONLY
    momentum_decay: float = 0.004

    def __post_init__(self) -> None:
        Adam.__post_init__(self)
        check_range("NAdam", "momentum_decay", self.momentum_decay, 0.0)

    def _share(self, step: int) -> float:
        return self.beta1 * (1.0 - 0.5 * math.pow(0.96, step * self.momentum_decay))

    def product(self, step: int) -> float:
        """Return the product of the shares of all steps up to this one; once too small to matter, 0."""
        product = 1.0
        for before in range(1, step + 1):
            product *= self._share(before)
            if product < 1e-20:
                return 0.0
        return product

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return what multiplies the gradient and the running mean, and sqrt(1 - beta2^step)."""
        product, own, after = self.product(step), self._share(step), self._share(step + 1)
        of_root = math.sqrt(1.0 - self.beta2**step)
        return (1.0 - own) / (1.0 - product), after / (1.0 - product * after), of_root


@dataclass(frozen=True, slots=True)
class LAMB(Adam):
    """Adam whose step is as long as the weights of a layer are large: the direction u = m / (√s + ε) + weight_decay · w
    is scaled by ‖w‖ / ‖u‖ for each layer's weights, and left as it is where one of the norms is 0 (You et al. 2020,
    Large batch optimization for deep learning). Biases and what normalizations learn take u as it is, as in the
    authors' code.

    Arguments:
        learning_rate: length of a step, as a share of the length of a layer's weights.
        weight_decay: part of the direction, as above.
        beta1, beta2, epsilon: as Adam's.
        layerwise: whether directions are scaled.
    """

    learning_rate: float = 0.005
    _: KW_ONLY
    weight_decay: float = 0.01
    epsilon: float = 1e-6
    layerwise: bool = True

    def __post_init__(self) -> None:
        Adam.__post_init__(self)
        check_flag("LAMB", "layerwise", self.layerwise)

    @property
    def whole(self) -> bool:
        return self.layerwise

    def part(self, weight: bool) -> tuple[Optimizer, float]:
        """Return itself for weights, and without the scale for all else."""
        return (self if weight else replace(self, layerwise=False)), 1.0


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
        check_range("RMSprop", "smoothing", self.smoothing, 0.0, 1.0)
        check_range("RMSprop", "epsilon", self.epsilon, 0.0)
        check_range("RMSprop", "momentum", self.momentum, 0.0, 1.0)

    @property
    def memory(self) -> tuple[str, ...]:
        return ("square", "momentum") if self.momentum else ("square",)


@dataclass(frozen=True, slots=True)
class Adagrad(Optimizer):
    """Divide the gradient by the root of the sum of all its squares: s ← s + g²; w ← w - learning_rate · g / (√s + ε)
    (Duchi, Hazan and Singer 2011).

    Arguments:
        learning_rate: step size.
        weight_decay: g gets weight_decay · w added, before the square.
        epsilon: added to the root, against division by zero.
    """

    learning_rate: float = 0.01
    _: KW_ONLY
    epsilon: float = 1e-10

    def __post_init__(self) -> None:
        Optimizer.__post_init__(self)
        check_range("Adagrad", "epsilon", self.epsilon, 0.0)

    @property
    def memory(self) -> tuple[str, ...]:
        return ("square",)


@dataclass(frozen=True, slots=True)
class Adadelta(Optimizer):
    """Steps as long as past steps were, so that they have the unit of the weights: s ← smoothing · s +
    (1 - smoothing) · g²; u = √(d + ε) / √(s + ε) · g; d ← smoothing · d + (1 - smoothing) · u²; w ← w -
    learning_rate · u (Zeiler 2012).

    Arguments:
        learning_rate: factor on each step.
        weight_decay: g gets weight_decay · w added, before the square.
        smoothing: how much of the running squares is kept each step, in [0, 1); PyTorch's rho.
        epsilon: added within the roots; the first steps are about its root long.
    """

    learning_rate: float = 1.0
    _: KW_ONLY
    smoothing: float = 0.9
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        Optimizer.__post_init__(self)
        check_range("Adadelta", "smoothing", self.smoothing, 0.0, 1.0)
        check_range("Adadelta", "epsilon", self.epsilon, 0.0)

    @property
    def memory(self) -> tuple[str, ...]:
        return ("square", "moved")
