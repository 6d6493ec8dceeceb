"""The training loop: epochs of steps, each epoch measured, remembered and told.

What comes out depends on the model, the batches, the settings and the seed alone: not on threads, not on who listens,
and not on whether the training was killed and resumed in between. (A time limit makes it depend on the clock.)
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from neocog.data.identity import Identities
from neocog.engines.base import Array, Engine, State, StepResult
from neocog.engines.targets import check_targets
from neocog.errors import DataError, SettingError
from neocog.interrupts import interrupts_deferred
from neocog.model.network import Network
from neocog.model.statedict import not_finite
from neocog.ranks.world import LostProcessError, World
from neocog.train.callbacks import Callback
from neocog.train.checkpoint import Checkpoint, checkpoint_bytes
from neocog.train.clock import Clock
from neocog.train.divergence import Beginning, NotFinite, diverged
from neocog.train.evaluation import evaluate
from neocog.train.events import BatchResult, Run
from neocog.train.given import Given, settled, takes_settings
from neocog.train.history import EpochResult, History
from neocog.train.metrics import count_right
from neocog.train.progress import Progress
from neocog.train.runfolder import RunFolder
from neocog.train.settings import TrainingSettings
from neocog.train.snapshots import FilterSnapshots, first_image
from neocog.train.source import BatchSource, StepSource, WholeBatches, augmented, epoch_of, sampled
from neocog.train.together import Together, lost, with_slices
from neocog.train.trainer import Trainer


@takes_settings
def fit(
    model: Network,
    train: BatchSource,
    *,
    validation: BatchSource | None = None,
    callbacks: Iterable[Callback] = (),
    threads: int | None = None,
    engine: str | Engine | None = None,
    resume: Checkpoint | None = None,
    folder: RunFolder | None = None,
    config: Mapping[str, object] | None = None,
    restore_best: bool | None = None,
    verbose: int = 1,
    learnt_from: Identities | None = None,
    phase: str = "",
    before: Iterable[EpochResult] = (),
    world: World | None = None,
    fast_reduce: bool = False,
    **given: Unpack[Given],
) -> History:
    """Train a model on batches, one training at a time for a folder.

    Arguments:
        model: what is trained.
        train: the batches, epoch after epoch, of at most `batch_size` images. Their order is for them to decide.
        validation: batches that are measured after every epoch, and never trained on.
        callbacks: what else hears of epochs and batches.
        threads, engine: of the steps; default: the model's. Validation runs on the model's.
        resume: the checkpoint to go on from: RunFolder.load_last().
        folder: where model.safetensors, last.safetensors and history.csv are written after every epoch, and
            filters.safetensors after some.
        config: JSON values of the caller, kept in last.safetensors.
        restore_best: whether the model ends on the best epoch's weights; default: only with `patience`. Where the
            setting `keep` is "last", it never does.
        verbose: 0 silent, 1 progress on stderr, 2 plain lines.
        learnt_from: which images `train` and `validation` hold, for `model.learnt_from`; see `Trainer`.
        phase: what this training is called among several that follow each other in one folder; each has epochs of its
            own, and a best one of its own.
        before: the epochs of earlier phases; a resumed training takes them from its checkpoint.
        world: the processes that share this training: each calls `fit` with the same arguments. The first one writes
            files, tells callbacks, and decides when to stop.
        fast_reduce: whether gradients are added up in an order of the world's: the number of processes then changes
            their rounding.
        given: settings, as TrainingSettings has them. What is None or not given, a resumed training takes from what it
            was started with, and a new one from the defaults.

    Returns:
        History: every epoch, and why training ended.

    Raises:
        SettingError, DataError, ShapeError: arguments or batches that do not fit.
        LostProcessError: another process of the world has ended; what was written before stays.
        NeocogError: the loss or the weights are not finite (the message names the layer and the step at which that
            began, and the model ends with the weights before that epoch), a file cannot be written, or another training
            writes to the folder. What was written before stays.
        KeyboardInterrupt: passed on, after callbacks heard the end; what was written before stays.
    """
    settings = settled(
        given,
        seed=model.seed,
        loss=model.loss,
        precision=model.precision,
        before=resume.settings if resume else None,
    )
    settings = with_slices(settings, world, model.engine if engine is None else engine)
    for name, source in (("training", train), ("validation", validation)):
        if source is not None and source.images < 1:
            raise DataError(f"{name} needs at least one image, got none")
    history = History(list(resume.history.epochs if resume else before))
    best_parameters: Mapping[str, Array] | None = resume.best_parameters if resume else None
    if resume is not None and resume.model is not model:
        if resume.model.graph != model.graph:
            raise SettingError("resuming needs the model that the training began with, got another network")
        model.load_parameters(resume.model.parameters)
        model.learnt_from, model.loss = resume.model.learnt_from, resume.model.loss
        model.origin, model.trained_in = resume.model.origin, resume.model.trained_in
    watched = train if validation is None else validation  # of which one image is looked at after some epochs
    train = augmented(sampled(train, settings), settings, model.graph)
    # a program's time grows with its batch, and no batch holds more than all images
    of_steps = replace(settings, batch_size=min(settings.batch_size, train.images))
    together = None if settings.slices is None else Together(world, settings, of_steps.batch_size)
    clock = Clock(settings.time_limit, history)
    steps: StepSource = WholeBatches(train) if together is None else together.part_of(train, model.graph)
    if together is not None:
        clock = together.clock(history)
        if not together.first:
            folder, callbacks, verbose = None, (), 0
    trainer = Trainer(
        model,
        settings=of_steps,
        threads=threads,
        engine=engine,
        learnt_from=learnt_from,
        keeps_gradients=False,
        world=world,
        fast_reduce=fast_reduce,
    )
    if resume is not None and trainer.precision != settings.precision:
        raise SettingError(
            f"the training began in {settings.precision}, and the engine computes in {trainer.precision}",
            hint="resume it with an engine of the same precision",
        )
    settings = replace(settings, precision=trainer.precision)  # what "auto" is here
    if resume is not None:
        trainer.load_optimizer_state(resume.memory, resume.step)
    run = Run(
        model,
        trainer,
        history,
        settings.epochs,
        train.images,
        time_limit=settings.time_limit,
        best_before=best_parameters,
        phase=phase,
    )
    progress = Progress(verbose)
    listeners = (*callbacks, progress)
    restore = (settings.patience is not None if restore_best is None else restore_best) and settings.keep == "best"
    kept = dict(config) if config is not None else dict(resume.config) if resume else {}
    with contextlib.nullcontext() if folder is None else folder.locked():
        try:
            memory = trainer.optimizer_state()
            if together is not None:
                together.check_alike(model, memory, train.images, trainer)
            if folder is not None and resume is None:
                # what files cannot say is found out now, not hours later
                checkpoint_bytes(_checkpoint(run, settings, kept, memory))
            snapshots = None
            if folder is not None:
                snapshots = FilterSnapshots(folder.filters, model, len(history), first_image(model, watched))
            if folder is not None and resume is not None and run.done:
                _make_up(folder, run, settings)
            for listener in listeners:
                listener.on_train_begin(run)
            _check_end(run, settings, clock)
            if together is not None:
                run.stop_reason = together.told(run.stop_reason)
            while (settings.epochs is None or run.done < settings.epochs) and not run.stop_reason:
                run.epoch = len(history) + 1
                for listener in listeners:
                    listener.on_epoch_begin(run)
                beginning = Beginning(model.parameters, memory, trainer.steps)
                try:
                    result = _epoch(run, settings, steps, validation, listeners, clock, beginning.rates, together)
                except NotFinite as fault:
                    if not fault.measured:
                        progress.note(f"{fault}; going through the epoch once more to find where that begins")
                    raise diverged(fault, run, beginning, steps, settings, folder) from None
                del beginning
                memory = {}  # at the end of an epoch there are several copies of it as it is
                with interrupts_deferred():  # an epoch that counts as done is on disk
                    trainer.settle()
                    memory = trainer.optimizer_state()
                    history.epochs.append(result)
                    measured = trainer.measured()
                    model.metrics = measured.metrics = result.metrics()
                    if history.best is result and restore:
                        best_parameters = measured.parameters
                    if folder is not None and snapshots is not None:
                        snapshots.save(model, len(history))
                        folder.save_last(_checkpoint(run, settings, kept, memory))
                        if history.best is result or settings.keep == "last":
                            folder.save_best(measured)
                        folder.write_history(history)
                for listener in listeners:
                    listener.on_epoch_end(run, result)
                _check_end(run, settings, clock)
                if together is not None:
                    run.stop_reason = together.told(run.stop_reason)
            history.stopped = run.stop_reason or "finished"
            best = history.best
            if restore and best is not None and best is not history.epochs[-1] and best_parameters is not None:
                model.restore(best_parameters)
                model.metrics = best.metrics()
            elif trainer.measured() is not model:
                model.restore(trainer.measured().parameters)
        except KeyboardInterrupt:
            history.stopped = "interrupted"
            raise
        except LostProcessError as error:
            history.stopped = "failed"
            raise lost(error, len(history), folder) from None
        except BaseException:
            history.stopped = "failed"
            raise
        finally:
            for listener in listeners:
                listener.on_train_end(run)
    return history


@dataclass(slots=True)
class Count:
    """How many answers of an epoch so far were right, of how many, in this process; and whether it shall end early."""

    right: int = 0
    answers: int = 0
    over: bool = False

    def add(self, right: int, answers: int) -> None:
        """Count those of a step."""
        self.right, self.answers = self.right + right, self.answers + answers

    @property
    def share(self) -> float:
        """The share of right ones."""
        return self.right / self.answers if self.answers else 0.0


def _check_end(run: Run, settings: TrainingSettings, clock: Clock) -> None:
    if settings.patience is not None and run.done and run.history.waiting >= settings.patience:
        run.stop("patience")
    if clock.share() >= 1.0 and run.done:  # an epoch of one step, at least: something is learnt and measured
        run.stop("time limit")


def _epoch(
    run: Run,
    settings: TrainingSettings,
    train: StepSource,
    validation: BatchSource | None,
    listeners: tuple[Callback, ...],
    clock: Clock,
    rates: list[float],
    together: Together | None,
) -> EpochResult:
    """Take the steps of one epoch, note their learning rates, and measure it."""
    began = time.perf_counter()
    so_far, count = None, Count()
    with contextlib.closing(_steps(run, settings, train, listeners, clock, began, rates, count)) as steps:
        for so_far in steps:  # noqa: B007 - the last one stands for the epoch
            over = clock.share() >= 1.0
            if over:
                run.stop("time limit")
            # what one process hears from a callback, the others learn at the end of the epoch
            count.over |= over or bool(run.stop_reason and (together is None or together.world.size == 1))
    if so_far is None:
        raise DataError(f"epoch {run.epoch} produced no batches, though {run.images} images were expected")
    if faults := not_finite(run.model.parameters):
        raise NotFinite(f"the weights must be finite, got {faults[0]}")
    right, answers = (count.right, count.answers) if together is None else together.total(count.right, count.answers)
    val_loss = val_accuracy = None
    if validation is not None:
        before = time.perf_counter()
        if together is None:
            measured = evaluate(run.trainer.measured(), validation.batches(0), settings.loss, plain=True)
            val_loss, val_accuracy = measured.loss, measured.accuracy
        else:
            val_loss, val_accuracy = together.measure(run.trainer.measured(), validation, settings.loss)
        clock.measured(time.perf_counter() - before)
        if not math.isfinite(val_loss):
            raise NotFinite(f"the validation loss must be finite, got {val_loss}", measured=True)
    return EpochResult(
        epoch=run.epoch,
        loss=so_far.loss,
        accuracy=right / answers,
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        learning_rate=so_far.learning_rate,
        seconds=time.perf_counter() - began,
        images_per_second=so_far.images_per_second,
        phase=run.phase,
    )


def _steps(
    run: Run,
    settings: TrainingSettings,
    train: StepSource,
    listeners: tuple[Callback, ...],
    clock: Clock,
    began: float,
    rates: list[float],
    count: Count,
) -> Generator[BatchResult, None, None]:
    """Take one step after the other, and give the epoch so far after each.

    Where a device of its own computes (`Trainer.ahead`), the next steps are begun before a step is told.
    """
    trainer, done = run.trainer, run.done
    begun, told, loss_sum, taken = 0, 0, 0.0, trainer.steps
    waiting: deque[_Begun] = deque()
    reduced = settings.schedule.after([epoch.measured for epoch in run.history.of_phase(run.phase)])
    with epoch_of(train, done) as batches:
        steps = iter(batches)
        while True:
            step = None if count.over else next(steps, None)
            if step is not None:
                x, y, whole = step
                for listener in listeners:
                    listener.on_batch_begin(run)
                # The middle of the step: neither the first nor the last of a warm-up and decay is then wasted on 0.
                passes = done + min(1.0, (begun + whole / 2) / run.images)
                share = 0.0 if settings.epochs is None else passes / settings.epochs
                factor = reduced * settings.schedule.factor(min(1.0, max(share, clock.share())))
                trainer.learning_rate = settings.optimizer.learning_rate * factor
                rates.append(trainer.learning_rate)
                waiting.append(_Begun(trainer.begin(x, y, whole), y, len(x), whole, trainer.learning_rate))
                begun += whole
                if len(waiting) <= trainer.ahead:
                    continue
            if not waiting:
                return
            first = waiting.popleft()
            found = first.read()
            loss = float(found.loss)
            if not math.isfinite(loss):
                raise NotFinite(f"the loss must be finite, got {loss}")
            taken, told, loss_sum = taken + 1, told + first.whole, loss_sum + loss * first.whole
            targets = check_targets(run.model.graph, settings.loss, first.targets, first.images)
            count.add(*count_right(settings.loss, found.logits, targets))
            seconds = time.perf_counter() - began
            result = BatchResult(taken, told, loss_sum / told, count.share, loss, first.learning_rate, seconds)
            for listener in listeners:
                listener.on_batch_end(run, result)
            yield result


@dataclass(frozen=True, slots=True)
class _Begun:
    """A step that was begun: who tells what it gave, and what that is held against."""

    read: Callable[[], StepResult]
    targets: NDArray[np.generic]
    images: int
    whole: int
    learning_rate: float


def _make_up(folder: RunFolder, run: Run, settings: TrainingSettings) -> None:
    """Write what a kill just behind last.safetensors left unwritten."""
    last = run.history.epochs[-1]
    measured = run.trainer.measured()
    kept = run.history.best is last or settings.keep == "last"
    if kept and not folder.holds_best(measured, last.epoch):
        measured.metrics = last.metrics()
        folder.save_best(measured)
    folder.write_history(run.history)


def _checkpoint(run: Run, settings: TrainingSettings, config: dict[str, object], memory: State) -> Checkpoint:
    return Checkpoint(
        model=run.model,
        memory=memory,
        step=run.trainer.steps,
        settings=settings,
        history=run.history,
        config=config,
    )
