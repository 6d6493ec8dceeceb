"""Fine-tuning: a network that learnt elsewhere gets a new head, which is trained first, and then all layers are.

    head         a Linear on features, which do not change, and so are computed once (`neocog.train.features`)
    all layers   the whole network, early layers more slowly than late ones; or it ends with the head

Each phase is a training by `fit`, with settings, epochs and a best epoch of its own. A run folder holds the whole
network after either, and a checkpoint says which phase it is of; so a training that was killed goes on to the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from neocog.data.augment.flip import RandomFlip
from neocog.data.augment.transform import Transform
from neocog.data.identity import Identities
from neocog.engines.base import Array
from neocog.errors import SettingError
from neocog.interrupts import interrupts_deferred
from neocog.model.network import Network
from neocog.model.remade import remade
from neocog.model.views import PLAIN
from neocog.nn.graph import Graph
from neocog.nn.groups import Group
from neocog.nn.losses import Loss
from neocog.nn.optimizers import AdamW
from neocog.nn.parameters import parameters_of
from neocog.nn.schedules import Cosine, OneCycle
from neocog.nn.transfer import head_alone
from neocog.train.callbacks import Callback
from neocog.train.checkpoint import Checkpoint
from neocog.train.features import FeatureProgress, Features, features_of
from neocog.train.fit import fit
from neocog.train.history import EpochResult, History
from neocog.train.recipe import (
    HEAD_BATCH,
    HEAD_DECAY,
    HEAD_RATE,
    TUNED_DECAY,
    TUNED_RATE,
    head_epochs,
    tuning_epochs,
)
from neocog.train.runfolder import RunFolder
from neocog.train.settings import TrainingSettings, from_json, settled, to_json
from neocog.train.source import BatchSource

HEAD, WHOLE = "head", "all layers"
"""The phases, as history.csv calls them."""

NEXT = "all_layers"
"""What a checkpoint's config calls the settings of the phase to come."""

BANDS = 4  # of layers, from the first to the last, that learn at rates of their own
SLOWER = 0.5  # the rate of each band, as a share of that of the next one
LARGEST = 31.0  # that a scaled feature may be: what images may, and a little less
SAVE_SECONDS = 5.0  # between two epochs of a head that are written, at least: they take less time than that


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
        SettingError: images are to be changed otherwise than by mirroring, for a head alone.
    """
    settings = settled(given, seed=model.seed, loss=model.loss)
    mirrored = any(isinstance(transform, RandomFlip) for transform in settings.augment)
    if head_only:
        check_changes(settings.augment)
        return Tuning(
            head=head_settings(settings.loss, settings.seed, images, {**given, "augment": ()}), mirrored=mirrored
        )
    usual = {
        "epochs": None if given.get("time_limit") is not None else tuning_epochs(images),
        "optimizer": AdamW(TUNED_RATE, weight_decay=TUNED_DECAY),
        "schedule": OneCycle(),
        "groups": rates_by_depth(model.graph),
        "keep": "last",
    }
    wanted = {name: value for name, value in given.items() if value is not None}
    whole = settled({**usual, **wanted}, seed=model.seed, loss=model.loss)
    return Tuning(head=head_settings(whole.loss, whole.seed, images), whole=whole, mirrored=mirrored)


def check_changes(augment: Iterable[Transform]) -> None:
    """Raise SettingError unless features can be computed once of images that are changed so."""
    other = next((type(transform).__name__ for transform in augment if not isinstance(transform, RandomFlip)), None)
    if other is not None:
        raise SettingError(
            f"a head alone learns from features that are computed once, so that images can only be mirrored, got {other}",
            hint="leave it out, or train all layers",
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


def fine_tune(
    model: Network,
    train: BatchSource,
    tuning: Tuning,
    *,
    in_order: BatchSource,
    validation: BatchSource | None = None,
    callbacks: Iterable[Callback] = (),
    threads: int | None = None,
    resume: Checkpoint | None = None,
    folder: RunFolder | None = None,
    config: Mapping[str, object] | None = None,
    verbose: int = 1,
    learnt_from: Identities | None = None,
    restore_best: bool | None = None,
    progress: FeatureProgress = lambda done, total: None,
) -> History:
    """Train a model that `neocog.model.remade.for_classes` gave: its head, then all of it.

    Arguments:
        model: what is trained.
        train: the batches of the second phase.
        tuning: the phases.
        in_order: the same images, unchanged and in an order that stays; features are computed of these.
        progress: is told how many features are computed.
        validation, callbacks, threads, resume, folder, config, verbose, learnt_from, restore_best: as for `fit`.

    Returns:
        History: the epochs of both phases.

    Raises:
        SettingError, DataError, ShapeError, NeocogError, KeyboardInterrupt: as `fit`.
    """
    kept = dict(config) if config is not None else dict(resume.config) if resume else {}
    if tuning.whole is not None:
        kept[NEXT] = to_json(tuning.whole)
    epochs: list[EpochResult] = [] if resume is None else resume.history.epochs
    if resume is not None and resume.model is not model:
        model.restore(resume.model.parameters)
        model.learnt_from, model.loss = resume.model.learnt_from, resume.model.loss
    shared: dict[str, Any] = {
        "callbacks": tuple(callbacks),
        "threads": threads,
        "verbose": verbose,
        "learnt_from": learnt_from,
    }
    history = History(list(epochs))
    if not any(epoch.phase == WHOLE for epoch in epochs):
        if resume is None or len(epochs) < (tuning.head.epochs or math.inf):
            features = _features(model, in_order, validation, tuning, folder, progress)
            history = _fit_head(model, tuning.head, features, resume, folder, kept, restore_best, shared)
        resume = None
    if tuning.whole is None:
        return history
    return fit(
        model,
        train,
        validation=validation,
        resume=resume,
        folder=folder,
        config=kept,
        restore_best=restore_best,
        phase=WHOLE,
        before=history.epochs,
        **shared,
        **tuning.whole.given(),
    )


def next_settings(config: Mapping[str, object]) -> TrainingSettings | None:
    """Return the settings of the second phase, which a checkpoint of the first keeps; None: there is none.

    Raises:
        FormatError: they are no settings.
    """
    return from_json(NEXT, config[NEXT]) if NEXT in config else None  # type: ignore[arg-type]


def _features(
    model: Network,
    train: BatchSource,
    validation: BatchSource | None,
    tuning: Tuning,
    folder: RunFolder | None,
    progress: FeatureProgress,
) -> tuple[Features, Features | None]:
    """Return the features of training and validation images."""
    total = train.images + (validation.images if validation is not None else 0)

    def kept_in(part: str) -> Path | None:
        return None if folder is None else folder.features(part)

    first = features_of(
        model,
        train,
        mirrored=tuning.mirrored,
        kept_in=kept_in("train"),
        progress=lambda done, _: progress(done, total),
    )
    if validation is None:
        return first, None
    return first, features_of(
        model,
        validation,
        kept_in=kept_in("validation"),
        progress=lambda done, _: progress(train.images + done, total),
    )


def _scale_of(values: Array) -> float:
    """Return a power of two that brings the mean square of features near 1, and none beyond what images may be.

    A power of two, so that weights are scaled back without rounding.
    """
    size = float(np.sqrt(np.mean(np.square(values, dtype=np.float64))))
    largest = float(np.abs(values).max(initial=0.0))
    if not (size > 0 and math.isfinite(largest)):
        raise SettingError("fine-tuning needs features that are finite, and not all 0, of the images at hand")
    return 2.0 ** min(round(-math.log2(size)), math.floor(math.log2(LARGEST / largest)))


@dataclass(frozen=True, slots=True)
class _Scaled:
    """The head of a whole network, and back: it takes features times a scale, so that its weights are divided by it."""

    whole: Network
    scale: float

    @property
    def name(self) -> str:
        """Name of the layer, in both."""
        return self.whole.graph.nodes[-1].name

    def head(self) -> Network:
        """Return the head as a network of its own."""
        head = remade(self.whole, head_alone(self.whole.graph), self.whole.class_names)
        head.views = PLAIN
        head.restore(self.of_head(self.whole.parameters))
        return head

    def of_head(self, parameters: Mapping[str, Array]) -> dict[str, Array]:
        """Return the head's parameters of the whole network's."""
        weight, bias = f"{self.name}.weight", f"{self.name}.bias"
        return {weight: parameters[weight] / np.float32(self.scale), bias: parameters[bias]}

    def back(self, head: Network) -> Network:
        """Put the head's weights, and what was measured of it, into the whole network, and return that."""
        weight, bias = f"{self.name}.weight", f"{self.name}.bias"
        own = {weight: head.parameters[weight] * np.float32(self.scale), bias: head.parameters[bias]}
        self.whole.restore({**self.whole.parameters, **own})
        self.whole.metrics, self.whole.learnt_from, self.whole.loss = dict(head.metrics), head.learnt_from, head.loss
        return self.whole


class _HeadFolder(RunFolder):
    """A run folder that holds whole networks where heads are trained.

    Where the last epoch is kept, what an epoch leaves waits some seconds for later ones: `flush` writes the rest.
    """

    def __init__(self, inner: RunFolder, scaled: _Scaled, frozen: tuple[str, ...], *, waits: bool) -> None:
        super().__init__(inner.path)
        self._inner, self._scaled, self._frozen, self._waits = inner, scaled, frozen, waits
        self._written = -math.inf  # the first epoch is written at once
        self._waiting: Checkpoint | None = None

    def locked(self) -> AbstractContextManager[None]:
        """Lock the folder itself."""
        return self._inner.locked()

    def save_last(self, checkpoint: Checkpoint) -> None:
        """Write the whole network, all of which was frozen but the head; or have it wait."""
        checkpoint = replace(checkpoint, settings=replace(checkpoint.settings, freeze=self._frozen))
        if self._waits:
            history = History(list(checkpoint.history.epochs))
            self._waiting = replace(checkpoint, model=copy(checkpoint.model), history=history)
        else:
            self._inner.save_last(replace(checkpoint, model=self._scaled.back(checkpoint.model)))

    def save_best(self, model: Network) -> None:
        """Write the whole network, unless it waits."""
        if not self._waits:
            self._inner.save_best(self._scaled.back(model))

    def holds_best(self, model: Network, epoch: int) -> bool:
        """Tell whether the whole network is there."""
        return self._inner.holds_best(self._scaled.back(model), epoch)

    def write_history(self, history: History) -> None:
        """Write the epochs, and all that waits, if that is old enough."""
        if not self._waits:
            self._inner.write_history(history)
        elif time.monotonic() - self._written >= SAVE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting is None:
            return
        with interrupts_deferred():
            whole = self._scaled.back(self._waiting.model)
            self._inner.save_last(replace(self._waiting, model=whole))
            self._inner.save_best(whole)
            self._inner.write_history(self._waiting.history)
            self._waiting, self._written = None, time.monotonic()


def _fit_head(
    model: Network,
    settings: TrainingSettings,
    features: tuple[Features, Features | None],
    resume: Checkpoint | None,
    folder: RunFolder | None,
    config: Mapping[str, object],
    restore_best: bool | None,
    shared: Mapping[str, Any],
) -> History:
    """Train the head, and leave it in the model."""
    own, held_out = features
    scaled = _Scaled(model, _scale_of(own.values))
    head = scaled.head()
    layers = {parameter.node.name for parameter in parameters_of(model.graph)} - {scaled.name}
    waits = settings.keep == "last"
    inner = (
        None if folder is None else _HeadFolder(folder, scaled, tuple(patterns_for(model.graph, layers)), waits=waits)
    )
    if resume is not None:
        best = None if resume.best_parameters is None else scaled.of_head(resume.best_parameters)
        resume = replace(resume, model=head, settings=replace(resume.settings, freeze=()), best_parameters=best)
    try:
        history = fit(
            head,
            own.source(scaled.scale, batch_size=settings.batch_size, shuffle=True, seed=settings.seed),
            validation=held_out and held_out.source(scaled.scale, batch_size=head.images_at_once, shuffle=False),
            resume=resume,
            folder=inner,
            config=config,
            restore_best=restore_best,
            phase=HEAD,
            **shared,
            **settings.given(),
        )
    finally:
        if inner is not None:
            inner.flush()
    scaled.back(head)
    return history
