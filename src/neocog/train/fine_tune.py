"""Fine-tuning: a network that learnt elsewhere gets a new head, which is trained first, and then all layers are.

    head         a Linear on features, which do not change, and so are computed once (`neocog.train.features`)
    all layers   the whole network, early layers more slowly than late ones; or it ends with the head

Each phase is a training by `fit`, with settings, epochs and a best epoch of its own. A run folder holds the whole
network after either, and a checkpoint says which phase it is of, so that a training that was killed ends with the same
bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from neocog.data.identity import Identities
from neocog.model.network import Network
from neocog.ranks.world import World
from neocog.train.callbacks import Callback
from neocog.train.checkpoint import Checkpoint
from neocog.train.features import FeatureProgress, Features, features_of
from neocog.train.fit import fit
from neocog.train.head import fit_head
from neocog.train.history import EpochResult, History
from neocog.train.progress import Progress
from neocog.train.runfolder import RunFolder
from neocog.train.settings import to_json
from neocog.train.source import BatchSource
from neocog.train.tuning import NEXT, WHOLE, Tuning


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
    world: World | None = None,
    fast_reduce: bool = False,
) -> History:
    """Train a model that `neocog.model.remade.for_classes` gave: its head, then all of it.

    Arguments:
        model: what is trained.
        train: the batches of the second phase.
        tuning: the phases.
        in_order: the same images, unchanged and in an order that stays; features are computed of these.
        progress: is told how many features are computed.
        validation, callbacks, threads, resume, folder, config, verbose, learnt_from, restore_best: as for `fit`.
        world, fast_reduce: as for `fit`; each process computes all features.

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
        "world": world,
        "fast_reduce": fast_reduce,
    }
    history = History(list(epochs))
    if not any(epoch.phase == WHOLE for epoch in epochs):
        if resume is None or len(epochs) < (tuning.head.epochs or math.inf):
            Progress(verbose).note("features of the images, which are computed once")
            features = _features(model, in_order, validation, tuning, folder, progress)
            history = fit_head(model, tuning.head, features, resume, folder, kept, restore_best, shared)
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
