"""The results of training, epoch by epoch."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

from neocog.errors import NeocogError
from neocog.train.curves import history_html


@dataclass(frozen=True, slots=True)
class EpochResult:
    """One epoch.

    Arguments:
        epoch: its number, from 1.
        loss, accuracy: means over the epoch's images as they were trained on, each before its step.
        val_loss, val_accuracy: on the validation images, after the epoch; None without them.
        learning_rate: of the epoch's last step.
        seconds: the whole epoch, validation included.
        images_per_second: training images, over the time of the steps alone.
        phase: of a training that has several, such as "head": which one the epoch belongs to; "" where there is one.
    """

    epoch: int
    loss: float
    accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    learning_rate: float
    seconds: float
    images_per_second: float
    phase: str = ""

    @property
    def score(self) -> tuple[float, float]:
        """What "better" means: validation accuracy, then low validation loss; without validation, low loss."""
        if self.val_accuracy is None or self.val_loss is None:
            return 0.0, -self.loss
        return self.val_accuracy, -self.val_loss

    @property
    def measured(self) -> tuple[float, float]:
        """Loss and accuracy: of the validation images, or of the training images where there are none."""
        if self.val_loss is None or self.val_accuracy is None:
            return self.loss, self.accuracy
        return self.val_loss, self.val_accuracy

    def metrics(self) -> dict[str, float]:
        """Return the numbers that describe the model after this epoch."""
        values = {name: getattr(self, name) for name in ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")}
        return {name: value for name, value in values.items() if value is not None}


PHASE = "phase"
COLUMNS = tuple(entry.name for entry in fields(EpochResult) if entry.name != PHASE)
"""Names of an epoch's numbers, in the order of history.csv, which has the phase behind them where there are several."""


SMOOTHED = 3  # epochs whose mean says whether training still gets better


@dataclass(slots=True)
class History:
    """All epochs of a training.

    Arguments:
        epochs: one entry each, in order.
        stopped: why training ended: "finished", "patience", "time limit", a callback's reason, "interrupted" or
            "failed"; "" while it runs.

    >>> history = History([EpochResult(1, 0.5, 0.8, None, None, 0.001, 2.0, 500.0)])
    >>> history.history["loss"]
    [0.5]
    """

    epochs: list[EpochResult] = field(default_factory=list)
    stopped: str = ""

    @property
    def history(self) -> dict[str, list[float]]:
        """The epochs as columns, as in Keras: "loss", "accuracy", "val_loss", "val_accuracy", "learning_rate",
        "seconds", "images_per_second"; the val_ columns only where there was validation.
        """
        columns: dict[str, list[float]] = {}
        for name in COLUMNS[1:]:
            values = [getattr(result, name) for result in self.epochs]
            if None not in values:
                columns[name] = values
        return columns

    def of_phase(self, phase: str) -> list[EpochResult]:
        """Return the epochs of a phase."""
        return [result for result in self.epochs if result.phase == phase]

    @property
    def _latest(self) -> list[EpochResult]:
        """The epochs of the last phase, whose weights the others led to."""
        return self.of_phase(self.epochs[-1].phase) if self.epochs else []

    @property
    def best(self) -> EpochResult | None:
        """The epoch with the best `score` (the first, on a tie), of those of the last phase; None before the first."""
        return max(self._latest, key=lambda result: result.score, default=None)

    @property
    def waiting(self) -> int:
        """How many epochs have gone by since the best one, by the mean of the score over three epochs: one that was
        lucky alone does not count as better.
        """
        scores = [result.score for result in self._latest]
        smooth = []
        for last in range(1, len(scores) + 1):
            window = scores[max(0, last - SMOOTHED) : last]
            smooth.append(tuple(math.fsum(values) / len(window) for values in zip(*window, strict=True)))
        return len(smooth) - 1 - smooth.index(max(smooth)) if smooth else 0

    def to_csv(self) -> str:
        """Return the epochs as CSV: a line of names, and a line each; numbers are written so that they read back
        exactly.
        """
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        phases = [PHASE] if any(epoch.phase for epoch in self.epochs) else []
        writer.writerow([*COLUMNS, *phases])
        for epoch in self.epochs:
            values = ("" if value is None else repr(value) for value in (getattr(epoch, name) for name in COLUMNS))
            writer.writerow([*values, *([epoch.phase] if phases else [])])
        return text.getvalue()

    def to_frame(self) -> Any:
        """Return the epochs as a pandas DataFrame, by their numbers; the val_ columns only where there was validation.

        `pandas.DataFrame(history)` works too, and has columns for the number and the phase.

        Raises:
            NeocogError: pandas is not installed.
        """
        try:
            from pandas import DataFrame, Index
        except ImportError:
            raise NeocogError("a history becomes a frame with pandas, which is not installed") from None
        return DataFrame(self.history, Index([result.epoch for result in self.epochs], name="epoch"))

    def _repr_html_(self) -> str:
        """Return the epochs for a notebook: a curve and a table."""
        best = self.best
        rows = [{name: getattr(result, name) for name in COLUMNS} for result in self.epochs]
        return history_html(rows, best.epoch if best else None, self.stopped)

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[EpochResult]:
        return iter(self.epochs)
