"""What follows the values of a network's variables from step to step, in arrays of its own beside them.

A follower begins with the values that training begins with. After each step it takes `follow(own, value)` in place of
its own array; buffers are followed as parameters are. The formula is written once, with +, - and *, and every engine
computes it with numbers of its own: arrays, tensors, or vectors in emitted code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

Number = Any  # whatever has +, - and *, with floats too


@dataclass(frozen=True, slots=True)
class Follower:
    """Base of all followers. `name` is what state is called by: "0.weight/NAME"."""

    name: ClassVar[str]

    def follow(self, own: Number, value: Number) -> Number:
        """Return the array after a step, from the one before it and the variable's new value."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class MovingAverage(Follower):
    """The exponential moving average: own ← decay · own + (1 - decay) · value.

    It looks back about 1 / (1 - decay) steps.

    Arguments:
        decay: share of the average that each step keeps, in [0, 1).

    Source: Polyak and Juditsky 1992, Acceleration of stochastic approximation by averaging.
    """

    name: ClassVar[str] = "average"

    decay: float

    def follow(self, own: Number, value: Number) -> Number:
        return self.decay * own + (1.0 - self.decay) * value
