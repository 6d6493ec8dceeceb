"""How parameters follow their gradients. Frozen data; the engines compute the update.

The formulas are those of PyTorch 2, so that both give the same numbers. An optimizer of the list `OPTIMIZERS` is known
to files, to the command line (by its name in small letters) and as a public name. Each engine has a table of rules with
an entry for each of them: emit/optimizers.py, reference/optimizer.py, engines/torch/optimizers.py.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import ClassVar

from neocog.errors import SettingError
from neocog.nn.adaptive import LAMB, Adadelta, Adagrad, Adam, AdamW, NAdam, RMSprop
from neocog.nn.limits import check_count, check_flag, is_number, shown
from neocog.nn.optimizer import Optimizer as Optimizer
from neocog.nn.optimizer import check_range

__all__ = ["LAMB", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Lookahead", "Muon", "NAdam", "RMSprop"]

MAX_ITERATIONS = 99  # of a matrix, each step; PyTorch's limit
MAX_EVERY = 1_000_000  # steps
MAX_OVER = 1_000_000_000  # steps


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
        check_range("SGD", "momentum", self.momentum, 0.0, 1.0)
        check_flag("SGD", "nesterov", self.nesterov)
        if self.nesterov and self.momentum == 0.0:
            raise SettingError("SGD: nesterov needs a momentum above 0", hint="try momentum=0.9")

    @property
    def memory(self) -> tuple[str, ...]:
        return ("momentum",) if self.momentum else ()


@dataclass(frozen=True, slots=True)
class Muon(Optimizer):
    """Orthogonalised momentum: of the running mean of a layer's gradient, as a matrix, all singular values are brought
    near 1, so that a step moves every direction that the gradient has alike (Jordan et al. 2024). Filters of a
    convolution are the columns of a matrix with a row for each of their values. What is no matrix, such as biases,
    follows another optimizer.

    They are brought near 1 by the iteration X ← aX + (bA + cA²)X with A = X Xᵀ (after Newton and Schulz), which
    begins at X divided by its Frobenius norm. PyTorch iterates in bfloat16, neocog in float32.

    Arguments:
        learning_rate: step size of matrices, times √max(1, outputs / inputs), as in PyTorch.
        weight_decay: of matrices, decoupled: w ← w - learning_rate · weight_decay · w.
        momentum: share of the running mean that is kept, in [0, 1).
        nesterov: look ahead along the new mean.
        iterations: how often the iteration is applied, from 1 to 99.
        coefficients: a, b, c.
        epsilon: the least norm that is divided by.
        rest: the optimizer of what is no matrix; its own learning rate follows the same schedule.

    >>> Muon(0.02, rest=AdamW(0.001)).part(False)
    (AdamW(learning_rate=0.001, weight_decay=0.01, beta1=0.9, beta2=0.999, epsilon=1e-08), 0.05)
    """

    decoupled: ClassVar[bool] = True

    learning_rate: float = 0.02
    _: KW_ONLY
    weight_decay: float = 0.01
    momentum: float = 0.95
    nesterov: bool = True
    iterations: int = 5
    coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315)
    epsilon: float = 1e-7
    rest: Optimizer = field(default=AdamW())

    def __post_init__(self) -> None:
        Optimizer.__post_init__(self)
        check_range("Muon", "momentum", self.momentum, 0.0, 1.0)
        check_flag("Muon", "nesterov", self.nesterov)
        check_count("Muon", "iterations", self.iterations, MAX_ITERATIONS)
        check_range("Muon", "epsilon", self.epsilon, 0.0)
        numbers = self.coefficients
        if not (isinstance(numbers, tuple | list) and len(numbers) == 3 and all(map(is_number, numbers))):
            raise SettingError(f"Muon: coefficients must be three numbers, got {shown(numbers)}")
        object.__setattr__(self, "coefficients", tuple(numbers))
        if not isinstance(self.rest, Optimizer) or isinstance(self.rest, Lookahead) or self.rest.whole:
            raise SettingError(
                f"Muon: rest must be an optimizer that takes each value by itself, got {shown(self.rest)}",
                hint="rest=nc.AdamW(0.001); Lookahead goes around Muon: nc.Lookahead(nc.Muon())",
            )

    @property
    def whole(self) -> bool:
        return True

    @property
    def memory(self) -> tuple[str, ...]:
        return ("momentum",)

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return those of the optimizer of what is no matrix."""
        return self.rest.scalars(step)

    def part(self, weight: bool) -> tuple[Optimizer, float]:
        """Return itself for matrices, and the other optimizer for all else."""
        if weight:
            return self, 1.0
        return self.rest, self.rest.learning_rate / self.learning_rate if self.learning_rate else 1.0

    def scale(self, inputs: int, outputs: int) -> float:
        """Return the factor on the step of a matrix."""
        return math.sqrt(max(1.0, outputs / inputs))


@dataclass(frozen=True, slots=True)
class Lookahead(Optimizer):
    """Another optimizer explores, and slow weights follow it: after every few steps slow ← slow + share · (w - slow),
    and w goes on from there (Zhang et al. 2019). Slow weights begin as the weights do.

    Arguments:
        optimizer: which explores; learning rate and weight decay are its own.
        every: steps between two meetings.
        share: of the way to the weights that the slow ones go, in (0, 1].
        over: steps in which the share falls from 1, where slow weights change nothing, to `share`: at step t it is
            1 - (1 - share) · (t / over)^power, as in Jordan 2024 (94 % on CIFAR-10 in 3.29 seconds on a single GPU).
            0: it is `share` from the beginning.
        power: of that fall; with 3 it comes late.

    >>> Lookahead(SGD(0.1, momentum=0.9)).learning_rate
    0.1
    """

    learning_rate: float = field(init=False, repr=False, default=0.0)
    optimizer: Optimizer = field(default=Adam())
    _: KW_ONLY
    weight_decay: float = field(init=False, repr=False, default=0.0)
    every: int = 5
    share: float = 0.5
    over: int = field(default=0, metadata={"later": True})
    power: float = field(default=3.0, metadata={"later": True})

    def __post_init__(self) -> None:
        if not isinstance(self.optimizer, Optimizer) or isinstance(self.optimizer, Lookahead):
            raise SettingError(
                f"Lookahead: optimizer must be another optimizer, got {shown(self.optimizer)}",
                hint="nc.Lookahead(nc.SGD(0.05, momentum=0.9))",
            )
        check_count("Lookahead", "every", self.every, MAX_EVERY)
        if not (is_number(self.share) and 0.0 < self.share <= 1.0):
            raise SettingError(f"Lookahead: share must be in (0, 1], got {shown(self.share)}")
        if self.over != 0:
            check_count("Lookahead", "over", self.over, MAX_OVER)
        check_range("Lookahead", "power", self.power, 0.0)
        object.__setattr__(self, "learning_rate", self.optimizer.learning_rate)
        object.__setattr__(self, "weight_decay", self.optimizer.weight_decay)

    @property
    def whole(self) -> bool:
        return self.optimizer.whole

    @property
    def memory(self) -> tuple[str, ...]:
        return (*self.optimizer.memory, "slow")

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return those of the optimizer, 1 or 0 for whether this is the first step, and the share of the way at this
        step: 0 between two meetings.
        """
        return *self.optimizer.scalars(step), float(step == 1), self.share_at(step) if step % self.every == 0 else 0.0

    def share_at(self, step: int) -> float:
        """Return the share of the way that slow weights go at a meeting after so many steps.

        >>> [Lookahead(share=0.25, over=100, power=1.0).share_at(step) for step in (0, 50, 100, 150)]
        [1.0, 0.625, 0.25, 0.25]
        """
        if not self.over:
            return self.share
        return 1.0 - (1.0 - self.share) * math.pow(min(1.0, step / self.over), self.power)

    def part(self, weight: bool) -> tuple[Optimizer, float]:
        """Return the part of the optimizer, with the same around it."""
        own, rate = self.optimizer.part(weight)
        return replace(self, optimizer=own), rate

    def with_decay(self, weight_decay: float) -> Optimizer:
        return replace(self, optimizer=self.optimizer.with_decay(weight_decay))


OPTIMIZERS: tuple[type[Optimizer], ...] = (
    SGD,
    Adam,
    AdamW,
    NAdam,
    LAMB,
    RMSprop,
    Adagrad,
    Adadelta,
    Muon,
    Lookahead,
)
