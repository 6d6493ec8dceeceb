"""A training whose numbers are no longer finite: where that began, and how it is told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from neocog.engines.base import Array, State, check_images
from neocog.engines.targets import check_targets
from neocog.errors import EngineError, NeocogError
from neocog.model.statedict import not_finite
from neocog.train.events import Run
from neocog.train.runfolder import RunFolder
from neocog.train.settings import TrainingSettings
from neocog.train.source import Step, StepSource, epoch_of

SHOWN = 3  # parameters that a message names


class NotFinite(Exception):  # noqa: N818 - it never leaves the training loop
    """What was found not to be finite, such as "the loss must be finite, got nan".

    `measured` is whether that is of the validation images alone: the epoch's steps and the weights are finite.
    """

    def __init__(self, text: str, *, measured: bool = False) -> None:
        super().__init__(text)
        self.measured = measured


@dataclass(slots=True)
class Beginning:
    """A training as it was before an epoch, and the learning rates since: enough to take its steps once more.

    Arguments:
        weights, memory, steps: the model's, the optimizer's, and how many steps were taken before.
        rates: of the epoch's steps so far.
    """

    weights: Mapping[str, Array]
    memory: State
    steps: int
    rates: list[float] = field(default_factory=list)


def diverged(
    fault: NotFinite,
    run: Run,
    beginning: Beginning,
    train: StepSource,
    settings: TrainingSettings,
    folder: RunFolder | None,
) -> NeocogError:
    """Return the error that ends a training, with the layer and the step at which its numbers stopped being finite.

    Unless it is about the validation images, the steps of the epoch are taken once more, from the weights and the
    optimizer's memory before it, until weights or loss are not finite; that step is then computed layer by layer. The
    model ends with the weights before the epoch.
    """
    trainer, where = run.trainer, f"epoch {run.epoch}, step {run.trainer.steps}"
    rate = trainer.learning_rate
    found = _after(run, train, settings) if fault.measured else _within(run, beginning, train, settings)
    run.model.restore(beginning.weights)
    kept = []
    if folder is not None and folder.last.exists() and run.history.epochs:
        kept.append(f"kept: epoch {len(run.history)}, in {folder.last}")
    return NeocogError(
        f"{where}: {fault}",
        details=(*found, f"learning rate: {rate:g} ({type(trainer.optimizer).__name__})", *kept),
        hint=f"lower the learning rate, such as {trainer.optimizer.learning_rate / 10:g}; "
        "neocog lr-find DATA, or model.lr_find(), suggests one",
    )


def _within(run: Run, beginning: Beginning, train: StepSource, settings: TrainingSettings) -> tuple[str, ...]:
    """Say where the epoch's numbers stop being finite, as far as that comes again."""
    trainer, before = run.trainer, beginning.weights
    run.model.restore(before)
    trainer.load_optimizer_state(beginning.memory, beginning.steps)
    with epoch_of(train, run.done) as batches:
        for rate, batch in zip(beginning.rates, batches, strict=False):
            trainer.learning_rate = rate
            loss = trainer.step(*batch)
            after = run.model.parameters
            faults = not_finite(after)[:SHOWN]
            if faults or not math.isfinite(loss):
                break
            before = after
        else:
            return ("taken once more, the steps of this epoch give finite numbers: its batches came out differently",)
    first = _first(run, before, batch, settings, trainer.steps)
    return f"first in step {trainer.steps}: {first or 'the layers and their gradients are finite in NumPy'}", *(
        f"after it: {found}" for found in faults
    )


def _after(run: Run, train: StepSource, settings: TrainingSettings) -> tuple[str, ...]:
    """Say where finite weights lead to numbers that are not, after the last step of an epoch."""
    steps, weights = run.trainer.steps, run.trainer.measured().parameters
    with epoch_of(train, run.done) as batches:
        first = _first(run, weights, next(batches), settings, steps + 1)
    return (
        f"first after step {steps}: {first or 'only for validation images; the training images give finite numbers'}",
    )


def _first(run: Run, weights: Mapping[str, Array], batch: Step, settings: TrainingSettings, step: int) -> str | None:
    from neocog.engines.finite import first_not_finite  # here, since it brings NumPy's layers, and most need none

    graph, (images, labels, _) = run.model.graph, batch
    if not len(images):  # other processes have them
        return None
    targets = check_targets(graph, settings.loss, labels, len(images))
    try:
        return first_not_finite(graph, weights, check_images(graph, images), targets, settings.for_engine(), step)
    except EngineError as error:  # there is no room for all layers' values
        return f"the layer is not known: {error.message}"
