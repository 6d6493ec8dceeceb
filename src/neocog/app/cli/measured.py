"""An evaluation as people and programs read it: the line of figures, the table of classes, the confused pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neocog.app.cli.errors import nearest
from neocog.app.cli.output import count, format_table, percent
from neocog.errors import DataError

if TYPE_CHECKING:
    from neocog.train.evaluation import Evaluation
    from neocog.train.labels import LabelsEvaluation

LONG_NAME = 60  # characters
SHOWN_CLASSES = 100  # more fill the screen; --json has them all


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Images of one class that were taken for another."""

    true: str
    predicted: str
    images: int

    def __str__(self) -> str:
        return f"{self.true} taken for {self.predicted} ({self.images:,})"

    def to_json(self) -> dict[str, object]:
        """Return plain JSON values."""
        return {"true": self.true, "predicted": self.predicted, "images": self.images}


def most_confused(pairs: NDArray[np.int64], names: Sequence[str], most: int = 3) -> list[ConfusedPair]:
    """List the pairs (true, predicted) that were confused most often, at most `most` of them.

    Arguments:
        pairs: (pairs, 3): true class, answer, images; see `Evaluation.pairs`.

    >>> most_confused(np.array([[0, 0, 9], [0, 1, 1], [1, 1, 9]]), ["cat", "dog"])
    [ConfusedPair(true='cat', predicted='dog', images=1)]
    """
    wrong = pairs[pairs[:, 0] != pairs[:, 1]]
    order = np.argsort(-wrong[:, 2], kind="stable")[:most]
    return [ConfusedPair(names[true], names[predicted], int(images)) for true, predicted, images in wrong[order]]


def match_classes(
    model_names: Sequence[str], data_names: Sequence[str], counts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the model's label of each of the data's labels, by name; the order of names may differ.

    Arguments:
        model_names, data_names: in the order of their labels.
        counts: (data classes,) images of each; a class without images need not be known.

    Raises:
        DataError: images of a class that the model does not know.
    """
    place = {name: label for label, name in enumerate(model_names)}
    unknown = [name for name, images in zip(data_names, counts, strict=True) if images and name not in place]
    if unknown:
        guess = nearest(unknown[0], model_names)
        raise DataError(
            f"the data has {count(len(unknown), 'class', 'classes')} that the model does not know: {shorten(unknown)}",
            details=(f"the model knows: {shorten(model_names)}",),
            hint=f"rename {unknown[0]} to {guess}" if guess else "use data with the classes that it was trained on",
        )
    return np.array([place.get(name, -1) for name in data_names], np.int64)


def shorten(names: Sequence[str], most: int = 12) -> str:
    """List names, at most `most` of them, and of long ones the beginning."""
    rest = len(names) - most
    shown = (name if len(name) <= LONG_NAME else f"{name[: LONG_NAME - 3]}..." for name in names[:most])
    return ", ".join(shown) + (f" and {rest:,} more" if rest > 0 else "")


def class_table(evaluation: Evaluation) -> str:
    """Lay out accuracy and number of images of each class."""
    rows = [("class", "images", "accuracy")]
    classes = list(evaluation.per_class.items())
    for name, result in classes[:SHOWN_CLASSES]:
        rows.append((name, f"{result.images:,}", percent(result.accuracy)))
    text = format_table(rows, right=(1, 2))
    left = len(classes) - SHOWN_CLASSES
    return text if left <= 0 else f"{text}\n... and {left:,} more; --json has all"


def label_table(evaluation: LabelsEvaluation) -> str:
    """Lay out what there is to say of each label."""
    rows: list[tuple[str, ...]] = [("label", "images", "precision", "recall", "F1", "average precision", "given above")]
    labels = list(evaluation.per_class.items())
    for name, found in labels[:SHOWN_CLASSES]:
        shares = (found.precision, found.recall, found.f1, found.average_precision)
        rows.append((name, f"{found.images:,}", *map(percent, shares), f"{found.threshold:.3f}"))
    text = format_table(rows, right=range(1, len(rows[0])))
    left = len(labels) - SHOWN_CLASSES
    return text if left <= 0 else f"{text}\n... and {left:,} more; --json has all"


def labels_line(evaluation: LabelsEvaluation) -> str:
    """Say in one line how well labels were found."""
    return (
        f"F1 {percent(evaluation.macro_f1)} (mean of labels), {percent(evaluation.micro_f1)} (all together), "
        f"mean average precision {percent(evaluation.mean_average_precision)}, "
        f"{percent(evaluation.label_accuracy)} of single answers right"
    )


def thresholds_line(evaluation: LabelsEvaluation, most: int = 6) -> str:
    """Name the probability above which each label is given."""
    labels = list(evaluation.per_class.items())
    shown = [f"{shorten([name])} {found.threshold:.3f}" for name, found in labels[:most]]
    return ", ".join(shown) + (f" and {len(labels) - most:,} more" if len(labels) > most else "")


def confused_line(evaluation: Evaluation) -> str:
    """Name the most confused pairs in one line."""
    pairs = most_confused(evaluation.pairs, list(evaluation.per_class))
    return "; ".join(map(str, pairs)) if pairs else "none"
