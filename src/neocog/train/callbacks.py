"""Callbacks: code that is called during training, under Keras' hook names."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neocog.engines.base import State
from neocog.errors import NeocogWarning, SettingError
from neocog.model import modelfile
from neocog.model.arguments import check_count
from neocog.model.writing import write_atomically
from neocog.nn.limits import check_flag, is_number, shown
from neocog.train.events import BatchResult, Run
from neocog.train.history import COLUMNS, EpochResult


class Callback:
    """Base class of callbacks: override the hooks you need. `run` is the current training; `run.stop(reason)` ends it.

    >>> class Losses(Callback):
    ...     def on_epoch_end(self, run, epoch):
    ...         print(epoch.epoch, epoch.loss)
    """

    def on_train_begin(self, run: Run) -> None:
        """Before the first epoch; after a resume `run.history` holds the earlier ones."""

    def on_train_end(self, run: Run) -> None:
        """After the last epoch, even if training was interrupted or failed; `run.history.stopped` says which."""

    def on_epoch_begin(self, run: Run) -> None:
        """Before an epoch, `run.epoch`."""

    def on_epoch_end(self, run: Run, epoch: EpochResult) -> None:
        """After an epoch and its validation."""

    def on_batch_begin(self, run: Run) -> None:
        """Before a step."""

    def on_batch_end(self, run: Run, batch: BatchResult) -> None:
        """After a step."""


class _Watching(Callback):
    """Knows the best epoch so far, by one number of it."""

    def __init__(self, monitor: str, min_delta: float = 0.0) -> None:
        name = type(self).__name__
        if monitor not in COLUMNS[1:5]:
            raise SettingError(f"{name}: monitor must be one of {', '.join(COLUMNS[1:5])}, got {shown(monitor)}")
        if not (is_number(min_delta) and min_delta >= 0):
            raise SettingError(f"{name}: min_delta must be 0 or more, got {shown(min_delta)}")
        self.monitor = monitor
        self.min_delta = min_delta
        self._reset()

    def _reset(self) -> None:
        self.best = -math.inf
        self.best_epoch = 0

    def _improves(self, epoch: EpochResult) -> bool:
        value = getattr(epoch, self.monitor)
        if value is None:
            raise SettingError(
                f"{type(self).__name__}: {self.monitor} needs validation data, got none",
                hint='pass some, or monitor="loss"',
            )
        score = value if self.monitor.endswith("accuracy") else -value
        # The first epoch improves on nothing, whatever min_delta.
        if self.best_epoch and not score - self.best > self.min_delta:
            return False
        self.best, self.best_epoch = score, epoch.epoch
        return True


class EarlyStopping(_Watching):
    """Stop when a metric has not improved for `patience` epochs. The arguments are Keras'.

    `fit(patience=...)` is the shorter way, and watches validation accuracy and loss together.

    Arguments:
        monitor: "loss", "accuracy", "val_loss" or "val_accuracy"; accuracies should rise, losses fall.
        patience: epochs without improvement before stopping.
        min_delta: the smallest change that counts as an improvement.
        restore_best_weights: whether the model ends with the weights of the best epoch.

    Raises:
        SettingError: an argument is out of its range; while training: `monitor` needs validation data.

    Source: Prechelt 1998, Early stopping - but when?
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        restore_best_weights: bool = False,
    ) -> None:
        super().__init__(monitor, min_delta)
        check_flag("EarlyStopping", "restore_best_weights", restore_best_weights)
        self.patience = check_count("EarlyStopping: patience", patience)
        self.restore_best_weights = restore_best_weights

    def _reset(self) -> None:
        super()._reset()
        self._best_parameters: State | None = None

    def _watch(self, run: Run, epoch: EpochResult) -> bool:
        improves = self._improves(epoch)
        if epoch.epoch - self.best_epoch >= self.patience:
            run.stop("patience")
        return improves

    def on_train_begin(self, run: Run) -> None:
        """Start afresh, or from the epochs before a resume."""
        self._reset()
        for epoch in run.history.epochs:
            self._watch(run, epoch)
        if self.best_epoch and self.restore_best_weights:
            self._best_parameters = self._weights_before(run)

    def _weights_before(self, run: Run) -> State | None:
        """Return the weights of the best epoch before a resume; warn where they are not known."""
        best = run.history.best
        if self.best_epoch == run.history.epochs[-1].epoch:
            return dict(run.trainer.measured().parameters)
        if run.best_before is not None and best is not None and best.epoch == self.best_epoch:
            return dict(run.best_before)
        warnings.warn(
            f"EarlyStopping: the weights of epoch {self.best_epoch}, the best before this resume, were not kept; "
            "unless a better one follows, the model ends with its last weights",
            NeocogWarning,
            stacklevel=2,
        )
        return None

    def on_epoch_end(self, run: Run, epoch: EpochResult) -> None:
        """Compare with the best epoch, and stop when patience runs out."""
        if self._watch(run, epoch) and self.restore_best_weights:
            self._best_parameters = dict(run.trainer.measured().parameters)

    def on_train_end(self, run: Run) -> None:
        """Restore the best weights, if asked to."""
        if self._best_parameters is not None and run.history.epochs[-1].epoch != self.best_epoch:
            run.model.restore(self._best_parameters)
            run.model.metrics = run.history.epochs[self.best_epoch - 1].metrics()
        self._best_parameters = None


class ModelCheckpoint(_Watching):
    """Write the model after each epoch, or after each that is the best so far. The arguments are Keras'.

    `neocog.train.fit.fit(folder=...)` keeps the best and the last model by itself, and more: it can be resumed.

    Arguments:
        path: the model file; {epoch} and other numbers of an epoch are filled in, such as
            "model-{epoch:03d}-{val_loss:.3f}.safetensors".
        monitor: as for EarlyStopping.
        save_best_only: whether only those epochs count that improve on the best.

    Raises:
        SettingError: an argument is out of its range, or the path names what an epoch has not; while training:
            `monitor` needs validation data. NeocogError: the file cannot be written.
    """

    def __init__(self, path: str | Path, monitor: str = "val_loss", save_best_only: bool = True) -> None:
        super().__init__(monitor)
        check_flag("ModelCheckpoint", "save_best_only", save_best_only)
        self.path = str(path)
        self.save_best_only = save_best_only
        self._path_for(EpochResult(1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0))

    def _path_for(self, epoch: EpochResult) -> str:
        try:
            return self.path.format(**{name: getattr(epoch, name) for name in COLUMNS})
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            hint = f"what can be filled in: {', '.join(f'{{{name}}}' for name in COLUMNS)}"
            raise SettingError(
                f"ModelCheckpoint: the path {shown(self.path)} cannot be filled in: {error}", hint=hint
            ) from None

    def on_train_begin(self, run: Run) -> None:
        """Start afresh, or from the epochs before a resume."""
        self._reset()
        if self.save_best_only:
            for epoch in run.history.epochs:
                self._improves(epoch)

    def on_epoch_end(self, run: Run, epoch: EpochResult) -> None:
        """Write the model, if the epoch counts."""
        if not self.save_best_only or self._improves(epoch):
            modelfile.save(run.trainer.measured(), self._path_for(epoch))


class CSVLogger(Callback):
    """Write a line for each epoch to a CSV file, which is whole at every moment; so is a run folder's history.csv.

    Arguments:
        path: the file; one that is there is replaced after the first epoch.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = path

    def on_epoch_end(self, run: Run, epoch: EpochResult) -> None:
        """Write all epochs so far, those before a resume included."""
        write_atomically(self.path, run.history.to_csv().encode())


class LambdaCallback(Callback):
    """Functions as a callback, under the names of its hooks.

    Arguments:
        hooks: name of a hook → a function that takes what it takes.

    Raises:
        SettingError: there is no such hook, or no function.

    >>> losses = []
    >>> callback = LambdaCallback(on_epoch_end=lambda run, epoch: losses.append(epoch.loss))
    """

    def __init__(self, **hooks: Callable[..., Any]) -> None:
        known = [name for name in vars(Callback) if name.startswith("on_")]
        for name, hook in hooks.items():
            if name not in known:
                raise SettingError(f"LambdaCallback: there is no hook {name}", hint=f"the hooks: {', '.join(known)}")
            if not callable(hook):
                raise SettingError(f"LambdaCallback: {name} must be a function, got {shown(hook)}")
            setattr(self, name, hook)
