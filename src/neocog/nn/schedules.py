"""How the learning rate moves over a training. Frozen data: each gives the factor for a share of the way done.

Positions are shares of the whole training, in [0, 1], so that a schedule needs no step counts. With positions of
step / steps, or step / (steps - 1) where PyTorch's schedule ends at its last step, the factors are PyTorch's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from neocog.errors import SettingError
from neocog.nn.limits import is_number, shown

MAX_DROPS = 1000
MAX_PATIENCE = 1_000_000  # epochs

Measured = Sequence[tuple[float, float]]
"""Loss and accuracy of each epoch done: of the validation images where there are some."""


def _check(kind: str, name: str, value: object, low: float, high: float, *, below: bool = False) -> None:
    if not (is_number(value) and low <= value and (value < high if below else value <= high)):  # type: ignore[operator]
        raise SettingError(f"{kind}: {name} must lie in [{low:g}, {high:g}{')' if below else ']'}, got {shown(value)}")


@dataclass(frozen=True, slots=True)
class Schedule:
    """Base of all schedules."""

    def factor(self, progress: float) -> float:
        """Return the factor on the learning rate when `progress` (0 to 1) of the training is done."""
        return 1.0

    def after(self, measured: Measured) -> float:
        """Return the factor that follows from the epochs done."""
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
        _check("Cosine", "warmup", self.warmup, 0.0, 1.0, below=True)
        _check("Cosine", "final", self.final, 0.0, 1.0)

    def factor(self, progress: float) -> float:
        if progress < self.warmup:
            return progress / self.warmup
        along = min(1.0, (progress - self.warmup) / (1.0 - self.warmup))
        return self.final + (1.0 - self.final) * 0.5 * (1.0 + math.cos(math.pi * along))


@dataclass(frozen=True, slots=True)
class OneCycle(Schedule):
    """Rise along half a cosine from `start` to 1 over the first `warmup` share, then fall along another to `final`, far
    below where it began. The momentum stays as it is (PyTorch's can move against the rate).

    Source: Smith and Topin 2018, Super-convergence; in PyTorch `start` is 1 / div_factor.

    >>> OneCycle().factor(0.0), OneCycle().factor(0.3)
    (0.04, 1.0)
    """

    warmup: float = 0.3
    start: float = 0.04
    final: float = 4e-6

    def __post_init__(self) -> None:
        _check("OneCycle", "warmup", self.warmup, 0.0, 1.0, below=True)
        _check("OneCycle", "start", self.start, 0.0, 1.0)
        _check("OneCycle", "final", self.final, 0.0, 1.0)

    def factor(self, progress: float) -> float:
        if progress < self.warmup:
            return _along(self.start, 1.0, progress / self.warmup)
        return _along(1.0, self.final, min(1.0, (progress - self.warmup) / (1.0 - self.warmup)))


def _along(begin: float, end: float, share: float) -> float:
    """Return where half a cosine from `begin` to `end` is."""
    return begin + (end - begin) * 0.5 * (1.0 - math.cos(math.pi * share))


@dataclass(frozen=True, slots=True)
class LinearDecay(Schedule):
    """Go in a straight line from `start` to `final`.

    >>> LinearDecay().factor(0.25)
    0.75
    """

    start: float = 1.0
    final: float = 0.0

    def __post_init__(self) -> None:
        _check("LinearDecay", "start", self.start, 0.0, 1.0)
        _check("LinearDecay", "final", self.final, 0.0, 1.0)

    def factor(self, progress: float) -> float:
        return self.start + (self.final - self.start) * min(1.0, progress)


@dataclass(frozen=True, slots=True)
class PolynomialDecay(Schedule):
    """Fall from 1 to `final` as a power of what is left of the training: slowly at the end where the power is above 1.

    >>> PolynomialDecay(power=2.0).factor(0.5)
    0.25
    """

    power: float = 2.0
    final: float = 0.0

    def __post_init__(self) -> None:
        if not (is_number(self.power) and self.power > 0.0):
            raise SettingError(f"PolynomialDecay: power must be above 0 and finite, got {shown(self.power)}")
        _check("PolynomialDecay", "final", self.final, 0.0, 1.0)

    def factor(self, progress: float) -> float:
        return self.final + (1.0 - self.final) * math.pow(max(0.0, 1.0 - progress), self.power)


@dataclass(frozen=True, slots=True)
class Plateau(Schedule):
    """Multiply by `drop` whenever a metric has not improved for more than `patience` epochs, as PyTorch's
    ReduceLROnPlateau does.

    Arguments:
        drop: factor of each reduction, in (0, 1).
        patience: epochs without improvement that are waited for.
        monitor: "loss" or "accuracy": of the validation images, or of the training images where there are none.
        threshold: the least improvement that counts, as a share of the best value.
        cooldown: epochs after a reduction that are not looked at.
        least: the factor is never below this.

    >>> Plateau(drop=0.5, patience=1).after([(1.0, 0.5), (1.0, 0.5), (1.0, 0.5)])
    0.5
    """

    drop: float = 0.1
    patience: int = 5
    monitor: Literal["loss", "accuracy"] = "loss"
    threshold: float = 1e-4
    cooldown: int = 0
    least: float = 0.0

    def __post_init__(self) -> None:
        if not (is_number(self.drop) and 0.0 < self.drop < 1.0):
            raise SettingError(f"Plateau: drop must lie between 0 and 1, got {shown(self.drop)}")
        for name in ("patience", "cooldown"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_PATIENCE:
                raise SettingError(f"Plateau: {name} must be an integer of 0 or more, got {shown(value)}")
        if self.monitor not in ("loss", "accuracy"):
            raise SettingError(f'Plateau: monitor must be "loss" or "accuracy", got {shown(self.monitor)}')
        _check("Plateau", "threshold", self.threshold, 0.0, 1.0)
        _check("Plateau", "least", self.least, 0.0, 1.0)

    def after(self, measured: Measured) -> float:
        factor, best, bad, cool = 1.0, math.nan, 0, 0
        for loss, accuracy in measured:
            value, least = loss, best * (1.0 - self.threshold)
            if self.monitor == "accuracy":
                value, least = -accuracy, best * (1.0 + self.threshold)
            better = math.isnan(best) or value < least
            best, bad = (value, 0) if better else (best, bad + 1)
            if cool:
                cool, bad = cool - 1, 0
            if bad > self.patience:
                factor, bad, cool = max(self.least, factor * self.drop), 0, self.cooldown
        return factor


@dataclass(frozen=True, slots=True)
class Warmup(Schedule):
    """Rise in a straight line from `start` to where another schedule begins, over the first `share`; the other one then
    goes its whole way over what is left.

    Source: Goyal et al. 2017, Accurate, large minibatch SGD.

    >>> [Warmup(LinearDecay(), share=0.5).factor(progress) for progress in (0.25, 0.5, 0.75)]
    [0.5, 1.0, 0.5]
    """

    schedule: Schedule = Constant()
    share: float = 0.05
    start: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.schedule, Schedule) or isinstance(self.schedule, Warmup):
            raise SettingError(
                f"Warmup: schedule must be another schedule, got {shown(self.schedule)}",
                hint="nc.Warmup(nc.PolynomialDecay(), share=0.05)",
            )
        _check("Warmup", "share", self.share, 0.0, 1.0, below=True)
        _check("Warmup", "start", self.start, 0.0, 1.0)

    def factor(self, progress: float) -> float:
        if progress < self.share:
            return (self.start + (1.0 - self.start) * progress / self.share) * self.schedule.factor(0.0)
        return self.schedule.factor((progress - self.share) / (1.0 - self.share))

    def after(self, measured: Measured) -> float:
        return self.schedule.after(measured)


SCHEDULES: tuple[type[Schedule], ...] = (
    Constant,
    Step,
    Cosine,
    OneCycle,
    LinearDecay,
    PolynomialDecay,
    Plateau,
    Warmup,
)
