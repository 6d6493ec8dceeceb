"""Optimizers and schedules by the names that the command line has for them."""

from __future__ import annotations

from dataclasses import fields

from neocog.nn.optimizers import OPTIMIZERS, Lookahead, Optimizer
from neocog.nn.schedules import (
    Constant,
    Cosine,
    LinearDecay,
    OneCycle,
    Plateau,
    PolynomialDecay,
    Schedule,
    Step,
    Warmup,
)

OPTIMIZER_NAMES: dict[str, type[Optimizer]] = {
    kind.__name__.lower(): kind
    for kind in sorted(OPTIMIZERS, key=lambda kind: kind.__name__.lower())
    if kind is not Lookahead  # which goes around another
}
SCHEDULE_NAMES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "linear": LinearDecay,
    "one-cycle": OneCycle,
    "plateau": Plateau,
    "polynomial": PolynomialDecay,
    "step": Step,
}
COSINE_WARMUP = 0.05
RECOMMENDED = {"sgd": {"learning_rate": 0.05, "momentum": 0.9}, "adamw": {"learning_rate": 0.003, "weight_decay": 0.05}}
"""What is taken in place of an optimizer's own defaults, for batches of 64 images."""


def default_of(name: str, setting: str) -> float | None:
    """Return what a setting of the optimizer called `name` is unless somebody asks for another; None: it has no such.

    >>> default_of("sgd", "momentum"), default_of("adam", "learning_rate"), default_of("adam", "momentum")
    (0.9, 0.001, None)
    """
    own = {entry.name: entry.default for entry in fields(OPTIMIZER_NAMES[name])}
    value = RECOMMENDED.get(name, {}).get(setting, own.get(setting))
    return value if isinstance(value, float) else None


def make_optimizer(
    name: str,
    learning_rate: float | None,
    weight_decay: float | None,
    momentum: float | None,
    lookahead: int | None = None,
) -> Optimizer:
    """Return the optimizer called `name`; None stands for its default, or for none where it has no such setting.

    With `lookahead`, slow weights follow it every so many steps.
    """
    asked = {"learning_rate": learning_rate, "weight_decay": weight_decay, "momentum": momentum}
    values = {setting: default_of(name, setting) if value is None else value for setting, value in asked.items()}
    optimizer = OPTIMIZER_NAMES[name](**{setting: value for setting, value in values.items() if value is not None})
    return optimizer if lookahead is None else Lookahead(optimizer, every=lookahead)


def make_schedule(name: str, warmup: float | None) -> Schedule:
    """Return the schedule called `name`, with a warm-up over a share of the training; None: the schedule's own.

    >>> make_schedule("linear", 0.1)
    Warmup(schedule=LinearDecay(start=1.0, final=0.0), share=0.1, start=0.0)
    """
    if name == "cosine":
        return Cosine(warmup=COSINE_WARMUP if warmup is None else warmup)
    if name == "one-cycle":
        return OneCycle() if warmup is None else OneCycle(warmup=warmup)
    schedule = SCHEDULE_NAMES[name]()
    return Warmup(schedule, warmup) if warmup else schedule
