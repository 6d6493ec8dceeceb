"""How a network that learnt elsewhere is trained further: settings of each phase, and how fast each layer learns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from neocog.data.augment.flip import RandomFlip
from neocog.data.augment.transform import Transform
from neocog.errors import SettingError
from neocog.model.network import Network
from neocog.nn.graph import Graph
from neocog.nn.groups import Group
from neocog.nn.losses import Loss
from neocog.nn.optimizers import AdamW
from neocog.nn.parameters import parameters_of
from neocog.nn.schedules import Cosine, OneCycle
from neocog.train.given import settled
from neocog.train.recipe import (
    HEAD_BATCH,
    HEAD_DECAY,
    HEAD_RATE,
    TUNED_DECAY,
    TUNED_RATE,
    batch_for,
    head_epochs,
    tuning_epochs,
)
from neocog.train.settings import TrainingSettings, from_json

HEAD, WHOLE = "head", "all layers"
"""The phases, as history.csv calls them."""

NEXT = "all_layers"
"""What a checkpoint's config calls the settings of the phase to come."""

BANDS = 4  # of layers, from the first to the last, that learn at rates of their own
SLOWER = 0.5  # the rate of each band, as a share of that of the next one


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The phases of a fine-tuning.

    Arguments:
        head: settings of the first; `head_settings` gives good ones.
        whole: settings of the second; None: there is none.
        mirrored: whether the head learns from mirror images too.
    """

    head: TrainingSettings
    whole: TrainingSettings | None = None
    mirrored: bool = False


def head_settings(loss: Loss, seed: int, images: int, given: Mapping[str, Any] | None = None) -> TrainingSettings:
    """Return settings for a head on features: AdamW with strong decay, for features whose mean square is about 1.

    Arguments:
        loss, seed: as in `TrainingSettings`.
        images: how many it learns from.
        given: settings that are asked for.
    """
    wanted = {name: value for name, value in (given or {}).items() if value is not None}
    usual = {
        "epochs": head_epochs(images),
        "batch_size": HEAD_BATCH,
        "optimizer": AdamW(HEAD_RATE, weight_decay=HEAD_DECAY),
        "schedule": Cosine(),
        "keep": "last",
    }
    return settled({**usual, **wanted}, seed=seed, loss=loss)


def tuning_for(model: Network, images: int, given: Mapping[str, Any], *, head_only: bool = False) -> Tuning:
    """Return the phases in which a model is fine-tuned on so many images.

    Arguments:
        model: with its new head.
        images: how many it learns from.
        given: settings that are asked for: of the training of all layers, or of the head's where that is alone.
        head_only: whether it ends with the head.

    Raises:
        SettingError: for a head alone, images are to be changed otherwise than by mirroring, or layers to be frozen.
    """
    settings = settled(given, seed=model.seed, loss=model.loss, precision=model.precision)
    mirrored = any(isinstance(transform, RandomFlip) for transform in settings.augment)
    if head_only:
        if settings.freeze:
            raise SettingError(
                f"a head alone leaves all else as it is, got freeze={list(settings.freeze)}", hint="leave freeze out"
            )
        check_changes(settings.augment)
        return Tuning(
            head=head_settings(settings.loss, settings.seed, images, {**given, "augment": ()}), mirrored=mirrored
        )
    usual = {
        "epochs": None if given.get("time_limit") is not None else tuning_epochs(images),
        "batch_size": batch_for(images),
        "optimizer": AdamW(TUNED_RATE, weight_decay=TUNED_DECAY),
        "schedule": OneCycle(),
        "groups": rates_by_depth(model.graph),
        "keep": "last",
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    whole = settled({**usual, **wanted}, seed=model.seed, loss=model.loss, precision=model.precision)
    return Tuning(head=head_settings(whole.loss, whole.seed, images), whole=whole, mirrored=mirrored)


def check_changes(augment: Iterable[Transform]) -> None:
    """Raise SettingError unless features can be computed once of images that are changed so."""
    other = next((type(transform).__name__ for transform in augment if not isinstance(transform, RandomFlip)), None)
    if other is not None:
        raise SettingError(
            f"features are computed once, so that images can only be mirrored for a head alone, got {other}",
            hint="leave that change out, or train all layers",
        )


def rates_by_depth(graph: Graph, *, bands: int = BANDS, slower: float = SLOWER) -> tuple[Group, ...]:
    """Return groups that let early layers learn more slowly than late ones, and the last layer at the full rate.

    Source: Howard and Ruder 2018, Universal language model fine-tuning: discriminative fine-tuning.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.graph import trace
    >>> from neocog.nn.layers import Conv2d, GlobalAvgPool2d, Linear
    >>> net = Sequential(Sequential(Conv2d(4, 3), Conv2d(4, 3)), Conv2d(4, 3), GlobalAvgPool2d(), Linear(2))
    >>> [(group.pattern, group.learning_rate) for group in rates_by_depth(trace(net, (9, 9, 1)), bands=2)]
    [('0', 0.25), ('1', 0.5)]
    """
    layers = list(dict.fromkeys(parameter.node.name for parameter in parameters_of(graph)))[:-1]
    band_of = {name: place * bands // len(layers) for place, name in enumerate(layers)}
    rates = [slower ** (bands - band) for band in range(bands)]
    return tuple(
        Group(pattern, learning_rate=rates[band])
        for band in range(bands)
        for pattern in patterns_for(graph, [name for name in layers if band_of[name] == band])
    )


def patterns_for(graph: Graph, layers: Iterable[str]) -> list[str]:
    """Return few names of layers and blocks that stand for these layers, and for no others that have parameters."""
    wanted = set(layers)
    others = {parameter.node.name for parameter in parameters_of(graph)} - wanted
    patterns: dict[str, None] = {}
    for name in sorted(wanted):
        parts = name.split(".")
        owners = (".".join(parts[:count]) for count in range(1, len(parts) + 1))
        patterns[
            next(owner for owner in owners if not any(f"{other}.".startswith(f"{owner}.") for other in others))
        ] = None
    return list(patterns)


def next_settings(config: Mapping[str, object]) -> TrainingSettings | None:
    """Return the settings of the second phase, which a checkpoint of the first keeps; None: there is none.

    Raises:
        FormatError: they are no settings.
    """
    return from_json(NEXT, config[NEXT]) if NEXT in config else None  # type: ignore[arg-type]
