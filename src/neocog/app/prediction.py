"""What is said of an image that was answered: its likeliest classes, or the labels that it is given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neocog.data.dataset import SEPARATOR
from neocog.engines.base import Array
from neocog.model.calibration import UNKNOWN_NAME
from neocog.model.network import Network
from neocog.model.thresholds import given_labels


@dataclass(frozen=True, slots=True)
class Prediction:
    """One image's likeliest classes, the likeliest first. Where that is not `certain` enough for the model, the answer
    is unknown, with the probability of the likeliest class.
    """

    path: str
    classes: tuple[tuple[str, float], ...]
    certain: bool = True

    @property
    def answer(self) -> str:
        """The likeliest class, or unknown."""
        return self.classes[0][0] if self.certain else UNKNOWN_NAME

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        top = [{"class": name, "probability": probability} for name, probability in self.classes]
        return {"path": self.path, "class": self.answer, "probability": self.classes[0][1], "top": top}

    def cells(self) -> list[str]:
        """Return the path, then a class and its probability, as often as asked for."""
        first, *rest = self.classes
        return [self.path, *(cell for name, p in [(self.answer, first[1]), *rest] for cell in (name, f"{p:.4f}"))]

    csv_cells = cells


@dataclass(frozen=True, slots=True)
class LabelsPrediction:
    """The labels that one image is given, the likeliest first, and the probabilities of all."""

    path: str
    classes: tuple[tuple[str, float], ...]
    probabilities: dict[str, float]

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {
            "path": self.path,
            "labels": [name for name, _ in self.classes],
            "probabilities": self.probabilities,
        }

    def cells(self) -> list[str]:
        """Return the path, then each label and its probability."""
        return [self.path, *(cell for name, p in self.classes for cell in (name, f"{p:.4f}"))]

    def csv_cells(self) -> list[str]:
        """Return the path, then the labels as tables hold them, and as many probabilities."""
        names, shares = [name for name, _ in self.classes], [f"{p:.4f}" for _, p in self.classes]
        return [self.path, SEPARATOR.join(names), SEPARATOR.join(shares)]


AnyPrediction = Prediction | LabelsPrediction


def prediction_of(model: Network, path: str, probabilities: Array, top: int | None) -> AnyPrediction:
    """Say what a model's probabilities (outputs,) of an image mean.

    Arguments:
        model: that gave them.
        path: what the image is called.
        probabilities: (outputs,).
        top: how many classes; None: the likeliest, or all labels that the image is given.
    """
    several, names = model.loss.several_labels, model.class_names
    order = np.argsort(-probabilities, kind="stable")
    given = given_labels(probabilities, model.thresholds) if several and top is None else None
    chosen = order[: top or 1] if given is None else order[given[order]]
    classes = tuple((names[c], float(probabilities[c])) for c in chosen)
    if several:
        return LabelsPrediction(path, classes, dict(zip(names, map(float, probabilities), strict=True)))
    certain = model.reject_below is None or bool(probabilities.max() >= model.reject_below)
    return Prediction(path, classes, certain)
