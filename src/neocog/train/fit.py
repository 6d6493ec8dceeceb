"""The training loop: epochs of steps, each epoch measured, remembered and told.

What comes out depends on the model, the batches, the settings and the seed alone: not on threads, not on who listens,
and not on whether the training was killed and resumed in between. (A time limit makes it depend on the clock.)
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from neocog.data.identity import Identities
from neocog.engines.base import Array, Engine
from neocog.errors import DataError, NeocogError, SettingError
from neocog.interrupts import interrupts_deferred
from neocog.model.arguments import check_count, check_seed
from neocog.model.network import Network
from neocog.nn.losses import CrossEntropy, Loss
from neocog.nn.optimizers import Adam, Optimizer
from neocog.nn.schedules import Cosine, Schedule
from neocog.train.callbacks import Callback
from neocog.train.checkpoint import Checkpoint, checkpoint_bytes
from neocog.train.evaluation import evaluate
from neocog.train.events import BatchResult, Run
from neocog.train.history import EpochResult, History
from neocog.train.metrics import target_classes
from neocog.train.progress import Progress
from neocog.train.runfolder import RunFolder
from neocog.train.snapshots import FilterSnapshots
from neocog.train.source import Batch, BatchSource
from neocog.train.trainer import Trainer

DEFAULT_EPOCHS = 5
DEFAULT_BATCH_SIZE = 64
DEFAULT_LOSS = CrossEntropy()
DEFAULT_OPTIMIZER = Adam(learning_rate=0.001)
DEFAULT_SCHEDULE = Cosine(warmup=0.05)


def fit(
    model: Network,
    train: BatchSource,
    *,
    epochs: int | None = None,
    batch_size: int | None = None,
    optimizer: Optimizer | None = None,
    loss: Loss | None = None,
    schedule: Schedule | None = None,
    validation: BatchSource | None = None,
    patience: int | None = None,
    callbacks: Iterable[Callback] = (),
    seed: int | None = None,
    threads: int | None = None,
    engine: str | Engine | None = None,
    resume: Checkpoint | None = None,
    folder: RunFolder | None = None,
    settings: Mapping[str, object] | None = None,
    time_limit: float | None = None,
    restore_best: bool | None = None,
    verbose: int = 1,
    learnt_from: Identities | None = None,
) -> History:
    """Train a model on batches, one training at a time for a folder.

    Where an argument is None, a resumed training takes what it was started with, and a new one the default.

    Arguments:
        model: what is trained.
        train: the batches, epoch after epoch.
        epochs: passes over the images, those before a resume included; default 5, or as many as `time_limit` lets it.
        batch_size: the most images of a batch of `train`; default 64.
        optimizer: default Adam(0.001).
        loss: default CrossEntropy().
        schedule: the way of the learning rate over all epochs; default Cosine(warmup=0.05).
        validation: batches that are measured after every epoch, and never trained on.
        patience: stop after so many epochs without a better one; see EpochResult.score for what is better.
        callbacks: what else hears of epochs and batches.
        seed: decides what Dropout drops; default: the model's. The order of images is for `train` to decide.
        threads, engine: of the steps; default: the model's. Validation runs on the model's.
        resume: the checkpoint to go on from: RunFolder.load_last().
        folder: where model.safetensors, last.safetensors, history.csv and filters.safetensors are written after every
            epoch.
        settings: JSON values of the caller, kept in last.safetensors.
        time_limit: seconds, those before a resume included, after which training ends, within an epoch too; the
            schedule then follows whichever is further, the clock or the images.
        restore_best: whether the model ends on the best epoch's weights; default: only with `patience`.
        verbose: 0 silent, 1 progress on stderr, 2 plain lines.
        learnt_from: which images `train` and `validation` hold, for `model.learnt_from`; see `Trainer`.

    Returns:
        History: every epoch, and why training ended.

    Raises:
        SettingError, DataError, ShapeError: arguments or batches that do not fit.
        NeocogError: the loss is not finite, a file cannot be written, or another training writes to the folder. What
            was written before stays.
        KeyboardInterrupt: passed on, after callbacks heard the end; what was written before stays.
    """
    plan = _make_plan(model, resume, epochs, batch_size, optimizer, loss, schedule, patience, seed, time_limit)
    for name, source in (("training", train), ("validation", validation)):
        if source is not None and source.images < 1:
            raise DataError(f"{name} needs at least one image, got none")
    history = History(list(resume.history.epochs)) if resume else History()
    best_parameters: Mapping[str, Array] | None = resume.best_parameters if resume else None
    if resume is not None and resume.model is not model:
        if resume.model.graph != model.graph:
            raise SettingError("resuming needs the model that the training began with, got another network")
        model.restore(resume.model.parameters)
        model.learnt_from = resume.model.learnt_from
    # a program's time grows with its batch, and no batch holds more than all images
    most = min(plan.batch_size, train.images)
    trainer = Trainer(
        model, plan.optimizer, plan.loss, most, threads=threads, engine=engine, seed=plan.seed, learnt_from=learnt_from
    )
    if resume is not None:
        trainer.load_optimizer_state(resume.memory, resume.step)
    run = Run(model, trainer, history, plan.epochs, train.images)
    listeners = (*callbacks, Progress(verbose))
    restore = plan.patience is not None if restore_best is None else restore_best
    kept = dict(settings) if settings is not None else dict(resume.settings) if resume else {}
    spent = sum(epoch.seconds for epoch in history.epochs)
    clock = _Clock(time.perf_counter() - spent, plan.time_limit)
    with contextlib.nullcontext() if folder is None else folder.locked():
        try:
            if folder is not None and resume is None:
                checkpoint_bytes(
                    _checkpoint(run, plan, kept)
                )  # what files cannot say is found out now, not hours later
            snapshots = None if folder is None else FilterSnapshots(folder.filters, model, len(history))
            for listener in listeners:
                listener.on_train_begin(run)
            _check_patience(run, plan)
            while (plan.epochs is None or len(history) < plan.epochs) and not run.stop_reason:
                run.epoch = len(history) + 1
                for listener in listeners:
                    listener.on_epoch_begin(run)
                result = _epoch(run, plan, train, validation, listeners, clock)
                with interrupts_deferred():  # an epoch that counts as done is on disk
                    trainer.settle()
                    history.epochs.append(result)
                    model.metrics = result.metrics()
                    if history.best is result and restore:
                        best_parameters = model.parameters
                    if folder is not None and snapshots is not None:
                        if history.best is result:
                            folder.save_best(model)
                        snapshots.save(model, len(history))
                        folder.save_last(_checkpoint(run, plan, kept))
                for listener in listeners:
                    listener.on_epoch_end(run, result)
                _check_patience(run, plan)
            history.stopped = run.stop_reason or "finished"
            best = history.best
            if restore and best is not None and best is not history.epochs[-1] and best_parameters is not None:
                model.restore(best_parameters)
                model.metrics = best.metrics()
        except KeyboardInterrupt:
            history.stopped = "interrupted"
            raise
        except BaseException:
            history.stopped = "failed"
            raise
        finally:
            for listener in listeners:
                listener.on_train_end(run)
    return history


@dataclass(frozen=True, slots=True)
class _Plan:
    """The settings of a training, with nothing left open but what may be absent."""

    epochs: int | None  # None: until the time limit
    batch_size: int
    optimizer: Optimizer
    loss: Loss
    schedule: Schedule
    seed: int
    patience: int | None
    time_limit: float | None


@dataclass(frozen=True, slots=True)
class _Clock:
    began: float
    limit: float | None

    def share(self) -> float:
        """How much of the time limit is over; 0 without one."""
        return 0.0 if self.limit is None else (time.perf_counter() - self.began) / self.limit


def _make_plan(
    model: Network,
    resume: Checkpoint | None,
    epochs: int | None,
    batch_size: int | None,
    optimizer: Optimizer | None,
    loss: Loss | None,
    schedule: Schedule | None,
    patience: int | None,
    seed: int | None,
    time_limit: float | None,
) -> _Plan:
    if resume is not None:
        epochs = resume.epochs if epochs is None else epochs
        batch_size = resume.batch_size if batch_size is None else batch_size
        patience = resume.patience if patience is None else patience
        seed = resume.seed if seed is None else seed
        time_limit = resume.time_limit if time_limit is None else time_limit
        optimizer, loss = optimizer or resume.optimizer, loss or resume.loss
        if optimizer.memory != resume.optimizer.memory:
            raise SettingError(
                f"a training that began with {resume.optimizer} cannot continue with {optimizer}",
                hint="leave the optimizer out when resuming, or start a new training from the model",
            )
        schedule = schedule or resume.schedule
    if time_limit is not None and not (math.isfinite(time_limit) and time_limit > 0):
        raise SettingError(f"time_limit must be above 0 seconds, got {time_limit!r}")
    if epochs is None and time_limit is None:
        epochs = DEFAULT_EPOCHS
    return _Plan(
        None if epochs is None else check_count("epochs", epochs),
        check_count("batch_size", DEFAULT_BATCH_SIZE if batch_size is None else batch_size),
        optimizer or DEFAULT_OPTIMIZER,
        loss or DEFAULT_LOSS,
        schedule or DEFAULT_SCHEDULE,
        check_seed(model.seed if seed is None else seed),
        None if patience is None else check_count("patience", patience),
        time_limit,
    )


def _check_patience(run: Run, plan: _Plan) -> None:
    best = run.history.best
    if plan.patience is not None and best is not None and len(run.history) - best.epoch >= plan.patience:
        run.stop("patience")
    if plan.time_limit is not None and sum(epoch.seconds for epoch in run.history.epochs) >= plan.time_limit:
        run.stop("time limit")


def _epoch(
    run: Run,
    plan: _Plan,
    train: BatchSource,
    validation: BatchSource | None,
    listeners: tuple[Callback, ...],
    clock: _Clock,
) -> EpochResult:
    """Take the steps of one epoch, and measure it."""
    began = time.perf_counter()
    so_far = None
    with contextlib.closing(_steps(run, plan, train, listeners, clock, began)) as steps:
        for so_far in steps:  # noqa: B007 - the last one stands for the epoch
            if clock.share() >= 1.0:
                run.stop("time limit")
            if run.stop_reason:
                break
    if so_far is None:
        raise DataError(f"epoch {run.epoch} produced no batches, though {run.images} images were expected")
    val_loss = val_accuracy = None
    if validation is not None:
        measured = evaluate(run.model, validation.batches(0), plan.loss)
        val_loss, val_accuracy = measured.loss, measured.accuracy
        if not math.isfinite(val_loss):
            raise _diverged(run, "validation loss", val_loss)
    return EpochResult(
        epoch=run.epoch,
        loss=so_far.loss,
        accuracy=so_far.accuracy,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        learning_rate=so_far.learning_rate,
        seconds=time.perf_counter() - began,
        images_per_second=so_far.images_per_second,
    )


def _steps(
    run: Run, plan: _Plan, train: BatchSource, listeners: tuple[Callback, ...], clock: _Clock, began: float
) -> Generator[BatchResult, None, None]:
    """Take one step after the other, and give the epoch so far after each."""
    trainer, done = run.trainer, len(run.history)
    images, loss_sum, hits = 0, 0.0, 0
    batches = train.batches(done)
    try:
        for x, y in batches:
            for listener in listeners:
                listener.on_batch_begin(run)
            # The middle of the step: neither the first nor the last step of a warm-up and decay is then wasted on 0.
            passes = done + min(1.0, (images + len(x) / 2) / run.images)
            share = 0.0 if plan.epochs is None else passes / plan.epochs
            factor = plan.schedule.factor(min(1.0, max(share, clock.share())))
            trainer.learning_rate = plan.optimizer.learning_rate * factor
            loss = trainer.step(x, y)
            if not math.isfinite(loss):
                raise _diverged(run, "loss", loss, x)
            assert trainer.last is not None  # it just took a step
            images += len(x)
            loss_sum += loss * len(x)
            hits += int(np.count_nonzero(trainer.last.logits.argmax(axis=1) == target_classes(plan.loss, y)))
            seconds = time.perf_counter() - began
            result = BatchResult(
                trainer.steps, images, loss_sum / images, hits / images, loss, trainer.learning_rate, seconds
            )
            for listener in listeners:
                listener.on_batch_end(run, result)
            yield result
    finally:
        _close(batches)


def _close(batches: Iterator[Batch]) -> None:
    # A generator that decodes in threads ends them when it is closed; a plain iterator has nothing to close.
    close = getattr(batches, "close", None)
    if close is not None:
        close()


def _diverged(run: Run, name: str, value: float, images: np.ndarray | None = None) -> NeocogError:
    if images is not None and images.dtype.kind == "f" and not np.isfinite(images).all():
        return DataError(f"epoch {run.epoch}, step {run.trainer.steps}: the batch's images hold NaN or infinite values")
    rate = run.trainer.learning_rate
    return NeocogError(
        f"epoch {run.epoch}, step {run.trainer.steps}: the {name} must be finite, got {value}",
        details=(f"learning rate: {rate:g} ({type(run.trainer.optimizer).__name__})",),
        hint=f"lower the learning rate, such as {run.trainer.optimizer.learning_rate / 10:g}",
    )


def _checkpoint(run: Run, plan: _Plan, settings: dict[str, object]) -> Checkpoint:
    return Checkpoint(
        model=run.model,
        memory=run.trainer.optimizer_state(),
        step=run.trainer.steps,
        epochs=plan.epochs,
        batch_size=plan.batch_size,
        seed=plan.seed,
        optimizer=plan.optimizer,
        loss=plan.loss,
        schedule=plan.schedule,
        patience=plan.patience,
        time_limit=plan.time_limit,
        history=run.history,
        settings=settings,
    )
