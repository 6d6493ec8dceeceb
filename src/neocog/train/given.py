"""Settings as callers give them, and how they become those of a training that begins or goes on."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any, Literal, TypedDict, TypeVar

from neocog.data.augment.transform import Transform
from neocog.data.sampling import Sampling
from neocog.engines.precision import Precision
from neocog.errors import SettingError
from neocog.nn.groups import Group
from neocog.nn.losses import Loss
from neocog.nn.optimizers import Optimizer
from neocog.nn.schedules import Schedule
from neocog.train.about import about
from neocog.train.settings import TrainingSettings

Function = TypeVar("Function", bound=Callable[..., Any])


class MoreGiven(TypedDict, total=False):
    """All of `Given` but for what `Model.fit` takes by position too."""

    optimizer: Optimizer | None
    loss: Loss | None
    schedule: Schedule | None
    seed: int | None
    patience: int | None
    keep: Literal["best", "last"] | None
    time_limit: float | None
    freeze: str | Sequence[str] | None
    groups: Group | Sequence[Group] | None
    ema: float | None
    clip_norm: float | None
    clip_value: float | None
    l1: float | None
    l2: float | None
    sampling: Sampling | None
    augment: str | Transform | Sequence[Transform] | None
    slices: int | None
    sync_bn: bool | None
    precision: Precision | None


class Given(MoreGiven, total=False):
    """Settings as callers give them; what is None or absent is left to the defaults, or to a resumed training."""

    epochs: int | None
    batch_size: int | None


def check_trains(precision: Precision) -> None:
    """Raise SettingError where a model answers in int8."""
    if precision == "int8":
        raise SettingError(
            "a model that answers in int8 cannot be trained: its scales are those of the weights as they are",
            hint='set model.precision = "float32", and quantise the model anew when it is trained',
        )


def settled(
    given: Mapping[str, Any],
    *,
    seed: int = 0,
    loss: Loss | None = None,
    precision: Precision = "float32",
    before: TrainingSettings | None = None,
) -> TrainingSettings:
    """Return the settings of a training.

    Arguments:
        given: as a caller gave them; see `Given`.
        seed, loss, precision: of the model, where none is given.
        before: of the training that goes on; it decides what is not given.

    Raises:
        TypeError: there is no such setting.
        SettingError: a value is out of its range, a training that goes on cannot have another, or the model answers in
            int8.
    """
    check_trains(precision)
    known = {entry.name: entry for entry in fields(TrainingSettings)}
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            meant = f", did you mean {near[0]!r}?" if near else f"; the settings are {', '.join(known)}"
            raise TypeError(f"a training has no setting {name!r}{meant}")
    wanted = {name: value for name, value in given.items() if value is not None}
    if before is None:
        usual = {"seed": seed, "precision": precision} | ({} if loss is None else {"loss": loss})
        return TrainingSettings(**{**usual, **wanted})
    if wanted.get("precision") == "auto":
        del wanted["precision"]  # it was settled when the training began
    settings = replace(before, **wanted)
    changed = next(
        (
            name
            for name, entry in known.items()
            if about(entry).resumed == "fixed" and getattr(settings, name) != getattr(before, name)
        ),
        None,
    )
    kept, kept_before = ([part.memory for part in one.optimizer.parts()] for one in (settings, before))
    if kept != kept_before:
        changed = "optimizer"
    if changed is not None:
        raise SettingError(
            f"a training that began with {changed}={getattr(before, changed)!r} cannot continue with "
            f"{getattr(settings, changed)!r}",
            hint=f"leave {changed} out when resuming, or start a new training from the model",
        )
    return settings


def takes_settings(function: Function) -> Function:
    """Show the settings among the parameters of a function that takes them as `**given`, to help() and to editors."""
    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    taken = {parameter.name for parameter in kept}
    shown = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in Given.__annotations__.items()
        if name not in taken
    ]
    function.__signature__ = signature.replace(parameters=[*kept, *shown])  # type: ignore[attr-defined]
    return function
