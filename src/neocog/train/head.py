"""The head of a network, trained on features by itself, and kept in a run folder as the whole network."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import _GeneratorContextManager
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from neocog.engines.base import Array
from neocog.errors import SettingError
from neocog.interrupts import interrupts_deferred
from neocog.model.network import Network
from neocog.model.remade import remade
from neocog.model.views import PLAIN
from neocog.nn.parameters import parameters_of
from neocog.nn.transfer import head_alone
from neocog.train.checkpoint import Checkpoint
from neocog.train.features import Features
from neocog.train.fit import fit
from neocog.train.history import History
from neocog.train.runfolder import RunFolder
from neocog.train.settings import TrainingSettings
from neocog.train.tuning import HEAD, patterns_for

LARGEST = 31.0  # that a scaled feature may be: what images may, and a little less
SAVE_SECONDS = 5.0  # between two epochs that are written, at least: they take less time than that


def fit_head(
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
            validation=None
            if held_out is None
            else held_out.source(scaled.scale, batch_size=head.images_at_once, shuffle=False),
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

    def locked(self) -> _GeneratorContextManager[None]:
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
