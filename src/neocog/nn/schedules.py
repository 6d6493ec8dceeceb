"""How the learning rate moves over a training. Frozen data: each gives the factor for a share of the way done.

Positions are shares of the whole training, in [0, 1], so that a schedule needs no step counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from neocog.errors import SettingError
from neocog.nn.limits import is_number, shown

MAX_DROPS = 1000


@dataclass(frozen=True, slots=True)
class Schedule:
    """Base of all schedules."""

    def factor(self, progress: float) -> float:
        """Return the factor on the learning rate when `progress` (0 to 1) of the training is done."""
        return 1.0


@dataclass(frozen=True, slots=True)
class Constant(Schedule):
    """The same learning rate all the way."""


@dataclass(frozen=True, slots=True)
class Step(Schedule):
    """Multiply by `drop` at each of the positions `at`.

    >>> Step(at=(0.5, 0.75), drop=0.1).factor(0.6)
    0.1
    """

    at: tuple[float, ...] = (0.5, 0.75)
    drop: float = 0.1

    def __post_init__(self) -> None:
        if not isinstance(self.at, tuple | list):
            raise SettingError(f"Step: at must be a tuple of positions, got {shown(self.at)}", hint="at=(0.5, 0.75)")
        if not all(is_number(position) and 0.0 <= position <= 1.0 for position in self.at):
            raise SettingError(f"Step: positions must lie in [0, 1], got {shown(self.at)}")
        if len(self.at) > MAX_DROPS:
            raise SettingError(f"Step: there may be at most {MAX_DROPS:,} positions, got {len(self.at):,}")
        if not (is_number(self.drop) and self.drop > 0.0):
            raise SettingError(f"Step: drop must be above 0 and finite, got {shown(self.drop)}")

    def factor(self, progress: float) -> float:
        return self.drop ** sum(progress >= position for position in self.at)


@dataclass(frozen=True, slots=True)
class Cosine(Schedule):
    """Rise linearly over the first `warmup` share, then fall along half a cosine to `final`.

    Source: Loshchilov and Hutter 2017, SGDR; the warm-up: Goyal et al. 2017.

    >>> Cosine().factor(1.0)
    0.0
    """

    warmup: float = 0.0
    final: float = 0.0

    def __post_init__(self) -> None:
        if not (is_number(self.warmup) and 0.0 <= self.warmup < 1.0):
            raise SettingError(f"Cosine: warmup must lie in [0, 1), got {shown(self.warmup)}")
        if not (is_number(self.final) and 0.0 <= self.final <= 1.0):
            raise SettingError(f"Cosine: final must lie in [0, 1], got {shown(self.final)}")

    def factor(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        along = min(1.0, (progress - self.warmup) / (1.0 - self.warmup))
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * along))
