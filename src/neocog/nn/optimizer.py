"""What every optimizer says of itself: how it treats a parameter, and which arrays and numbers its formula needs."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar

from neocog.errors import SettingError
from neocog.nn.limits import is_number, shown


def check_range(kind: str, name: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise SettingError unless a setting is a number from `low` to below `high`."""
    if not (is_number(value) and low <= value < high):
        bounds = f"in [{low:g}, {high:g})" if math.isfinite(high) else f"{low:g} or more"
        raise SettingError(f"{kind}: {name} must be {bounds}, got {shown(value)}")


@dataclass(frozen=True, slots=True)
class Optimizer:
    """Base of all optimizers: each gives a direction for each parameter, and w ← w - learning_rate · direction.

    Weight decay is for the weights of convolutions and fully connected layers; see `neocog.nn.groups` for other ways.
    Where it is `decoupled`, it takes learning_rate · weight_decay · w from the weights themselves; elsewhere it is part
    of the gradient that the formula sees.
    """

    decoupled: ClassVar[bool] = False

    learning_rate: float = 0.001
    _: KW_ONLY
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        kind = type(self).__name__
        check_range(kind, "learning_rate", self.learning_rate, 0.0)
        check_range(kind, "weight_decay", self.weight_decay, 0.0)

    @property
    def memory(self) -> tuple[str, ...]:
        """Names of the arrays that it keeps beside each parameter; a checkpoint stores them."""
        return ()

    def scalars(self, step: int) -> tuple[float, ...]:
        """Return the numbers that its formula takes from the number of the step, which counts from 1."""
        return ()

    @property
    def whole(self) -> bool:
        """Whether a direction hangs on all values of a parameter together, and not on each by itself."""
        return False

    def part(self, weight: bool) -> tuple[Optimizer, float]:
        """Return how it treats one kind of parameter, and with which factor on its learning rate.

        Arguments:
            weight: whether it is the weight of a convolution or a fully connected layer, or something else.
        """
        return self, 1.0

    def parts(self) -> tuple[Optimizer, ...]:
        """Return how it treats weights, and all else."""
        return self.part(True)[0], self.part(False)[0]

    def with_decay(self, weight_decay: float) -> Optimizer:
        """Return the same with another weight decay."""
        return replace(self, weight_decay=weight_decay)
