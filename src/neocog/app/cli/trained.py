"""What a training gave, as people and programs read it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from neocog.app.cli.datasets import file_of
from neocog.app.cli.measured import (
    accuracy_line,
    certainty_rows,
    confused_line,
    labels_line,
    macro_line,
    most_confused,
    thresholds_line,
)
from neocog.app.cli.output import count, format_table
from neocog.app.cli.runs import files_of
from neocog.data.dataset import DataSplits
from neocog.model.network import Network
from neocog.nn.parameters import parameters_of
from neocog.train.evaluation import Evaluation
from neocog.train.history import History
from neocog.train.labels import LabelsEvaluation
from neocog.train.runfolder import RunFolder


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished training.

    Arguments:
        data: the location, as given.
        part: what `evaluation` was measured on.
        unreadable: images that were skipped.
        keep: which epoch's weights were kept, "best" or "last".
    """

    data: str
    splits: DataSplits
    folder: RunFolder
    model: Network
    history: History
    part: str
    evaluation: Evaluation | LabelsEvaluation
    unreadable: int
    keep: str

    @property
    def parameters(self) -> int:
        """Number of values that were trained."""
        return sum(parameter.size for parameter in parameters_of(self.model.graph))

    @property
    def seconds(self) -> float:
        """Of all epochs, those before a resume and validation included; not of what is done before and after them."""
        return sum(epoch.seconds for epoch in self.history.epochs)

    @property
    def images_per_second(self) -> float:
        """Training images of whole epochs over the seconds of these, of the last phase where there are several; a time
        limit may cut the last epoch short.
        """
        epochs = self.history.of_phase(self.history.epochs[-1].phase) if len(self.history) else []
        if self.history.stopped == "time limit" and len(epochs) > 1:
            epochs = epochs[:-1]
        seconds = sum(epoch.seconds for epoch in epochs)
        train = self.splits.train
        return len(epochs) * (len(train) - len(train.unreadable)) / seconds if seconds else 0.0

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights were kept."""
        best = self.history.best
        if self.keep == "last":
            return len(self.history)
        return best.epoch if best is not None else 0

    @property
    def caution(self) -> str | None:
        """Why the figures say less about new images than they seem to; None where they were measured on a test part."""
        if self.part == "test":
            return None
        if self.part == "validation":
            chose = [
                *(["the best epoch"] if self.keep == "best" else []),
                *(["the labels' thresholds"] if isinstance(self.evaluation, LabelsEvaluation) else []),
            ]
            if not chose:
                return None
            return (
                f"these images chose {' and '.join(chose)}, so that new ones will be recognised less often; "
                "keep some apart in a test part"
            )
        return "these are the images that it was trained on; new ones will be recognised far less often"

    @property
    def files(self) -> list[Path]:
        """What lies in the run folder."""
        folder = self.folder
        return [path for path in files_of(folder) if path.exists()]

    @property
    def next_command(self) -> str:
        """A command that works as it stands: predict a held-out image where it is a file, else evaluate."""
        part = dict(self.splits.items())[self.part]
        unreadable = part.unreadable
        first = next(index for index in range(len(part)) if index not in unreadable)  # it was measured on some
        image = file_of(part, first)
        model = shlex.quote(str(self.folder.best))
        if image is not None:
            return f"neocog predict {model} {shlex.quote(str(image))}"
        return f"neocog evaluate {model} {shlex.quote(self.data)}"

    @property
    def _epochs(self) -> str:
        phases = dict.fromkeys(epoch.phase for epoch in self.history.epochs)
        if set(phases) <= {""}:
            return count(len(self.history), "epoch")
        told = (f"{count(len(self.history.of_phase(phase)), 'epoch')} of {phase}" for phase in phases)
        return " and ".join(told).replace("of head", "of the head")

    def to_text(self) -> str:
        """Lay it out for people."""
        size = self.model.graph.input
        measured = self.evaluation
        rows = [
            (
                "accuracy",
                accuracy_line(measured, f"{self.part} image"),
            ),
            *([] if self.caution is None else [("but", self.caution)]),
            *([] if isinstance(measured, LabelsEvaluation) else [("macro recall", macro_line(measured))]),
            (
                "trained",
                f"{self._epochs} in {self.seconds:.1f} s, {self.images_per_second:,.0f} images/s; "
                f"{'best: epoch ' + str(self.best_epoch) if self.keep == 'best' else 'kept: the last'}",
            ),
            (
                "network",
                f"{self.parameters:,} parameters, {size.height} x {size.width} x {size.channels} pixels, "
                f"{count(len(self.model.class_names), 'class', 'classes')}",
            ),
            *(
                [("labels", labels_line(measured)), ("given above", thresholds_line(measured))]
                if isinstance(measured, LabelsEvaluation)
                else [
                    *certainty_rows(measured, fitted=self.part == "validation"),
                    ("confused", confused_line(measured)),
                ]
            ),
            ("model", str(self.folder.best)),
            ("also there", ", ".join(path.name for path in self.files if path != self.folder.best)),
            ("next", self.next_command),
        ]
        return format_table(rows)

    def to_json(self) -> dict[str, object]:
        """Return one object for a program to read."""
        names, measured = self.model.class_names, self.evaluation
        if isinstance(measured, LabelsEvaluation):
            keys = ("label_accuracy", "macro_f1", "micro_f1", "mean_average_precision")
            figures = {key: getattr(measured, key) for key in keys}
        else:
            figures = {"most_confused": [pair.to_json() for pair in most_confused(measured.pairs, names)]}
        return {
            "run": str(self.folder.path),
            "model": str(self.folder.best),
            "data": self.data,
            "split": self.part,
            "caution": self.caution,
            **self.evaluation.to_json(),
            **figures,
            "epochs": len(self.history),
            "best_epoch": self.best_epoch,
            "stopped": self.history.stopped,
            "history": self.history.history,
            "seconds": self.seconds,
            "images_per_second": self.images_per_second,
            "parameters": self.parameters,
            "input": list(self.model.input_shape),
            "classes": list(names),
            "unreadable": self.unreadable,
            "files": [str(path) for path in self.files],
            "next": self.next_command,
        }
