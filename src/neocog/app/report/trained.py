"""What a report is about: a run folder, and the data that its model is measured on, where that is at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from neocog.data.check import Report as DataReport
from neocog.data.dataset import Dataset, DataSplits
from neocog.data.resize import ImageSize
from neocog.model.network import Network
from neocog.train.evaluation import Evaluation
from neocog.train.labels import LabelsEvaluation
from neocog.train.runfolder import RunFolder

Epoch = Mapping[str, float | None]
"""The numbers of one epoch, by the names of history.csv's columns."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A model and the images that it was measured on.

    Arguments:
        location: of the data, as the user wrote it.
        splits: the parts of the data.
        part: the name of the one that was measured.
        labels: of the model, for each of the data's (`match_classes`).
        evaluation: what `neocog evaluate` says.
        check: what `neocog check` says; None where it was not asked.
    """

    location: str
    splits: DataSplits
    part: str
    labels: Sequence[int]
    evaluation: Evaluation | LabelsEvaluation
    check: DataReport | None = None

    @property
    def images(self) -> Dataset:
        """The part that was measured."""
        return dict(self.splits.items())[self.part]


@dataclass(frozen=True, slots=True)
class Trained:
    """A run folder, read.

    Arguments:
        folder: where it lies.
        model: the best one.
        config: what config.json says.
        epochs: what history.csv says.
        measured: None where the data is not at hand.
        cut: whether a time limit cut the last epoch short.
        missing: what is not here, and why, one sentence each: code → what is to be said.
    """

    folder: RunFolder
    model: Network
    config: Mapping[str, Any]
    epochs: Sequence[Epoch]
    measured: Measured | None = None
    cut: bool = False
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> ImageSize:
        """What images are brought to."""
        return ImageSize(*self.model.input_shape)

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights the model has, from 1; None where neither file says."""
        told = self.model.metrics.get("epoch")
        return None if told is None else int(told)
