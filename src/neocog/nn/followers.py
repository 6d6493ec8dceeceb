"""What follows the values of a network's variables from step to step, in arrays of its own beside them.

A follower begins with the values that training begins with. After each step it takes `follow(own, value)` in place of
its own array; buffers are followed as parameters are. The formula is written once, with +, - and *, and every engine
computes it with numbers of its own: arrays, tensors, or vectors in emitted code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from neocog.errors import SettingError
from neocog.nn.limits import is_number, shown

Number = Any  # whatever has +, - and *, with floats too


@dataclass(frozen=True, slots=True)
class Follower:
    """Base of all followers.

    `name` is what its arrays are called by: "0.weight/NAME". What `stands_in` is measured, kept and in the end used in
    place of the network's own values, with which training goes on.
    """

    name: ClassVar[str]
    stands_in: ClassVar[bool] = False

    def follow(self, own: Number, value: Number) -> Number:
        """Return the array after a step, from the one before it and the variable's new value."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class EMA(Follower):
    """The exponential moving average of the weights: own ← own + (1 - decay) · (value - own), as timm's ModelEma keeps
    it, buffers averaged too. It wanders less than the weights do from step to step, and often answers better (Polyak
    and Juditsky 1992; Tarvainen and Valpola 2017).

    Arguments:
        decay: how much of the average is kept each step, in [0, 1). About 1 / (1 - decay) steps count.
    """

    name: ClassVar[str] = "ema"
    stands_in: ClassVar[bool] = True

    decay: float

    def __post_init__(self) -> None:
        if not (is_number(self.decay) and 0.0 <= self.decay < 1.0):
            raise SettingError(f"EMA: decay must be in [0, 1), got {shown(self.decay)}")

    def follow(self, own: Number, value: Number) -> Number:
        return own + (1.0 - self.decay) * (value - own)
