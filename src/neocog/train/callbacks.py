"""Callbacks: code that is called during training, under Keras' hook names."""

from __future__ import annotations

import math

from neocog.engines.base import State
from neocog.errors import SettingError
from neocog.model.arguments import check_count
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


class EarlyStopping(Callback):
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
        if monitor not in COLUMNS[1:5]:
            raise SettingError(f"EarlyStopping: monitor must be one of {', '.join(COLUMNS[1:5])}, got {monitor!r}")
        if not (is_number(min_delta) and min_delta >= 0):
            raise SettingError(f"EarlyStopping: min_delta must be 0 or more, got {shown(min_delta)}")
        check_flag("EarlyStopping", "restore_best_weights", restore_best_weights)
        self.monitor = monitor
        self.patience = check_count("EarlyStopping: patience", patience)
        self.min_delta = min_delta
        self.restore_best_weights = restore_best_weights
        self._reset()

    def _reset(self) -> None:
        self.best = -math.inf
        self.best_epoch = 0
        self._best_parameters: State | None = None

    def _improves(self, epoch: EpochResult) -> bool:
        value = getattr(epoch, self.monitor)
        if value is None:
            raise SettingError(
                f"EarlyStopping: {self.monitor} needs validation data, got none", hint='pass some, or monitor="loss"'
            )
        score = value if self.monitor.endswith("accuracy") else -value
        # The first epoch improves on nothing, whatever min_delta.
        if self.best_epoch and not score - self.best > self.min_delta:
            return False
        self.best, self.best_epoch = score, epoch.epoch
        return True

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
