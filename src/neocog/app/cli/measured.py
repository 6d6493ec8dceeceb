"""An evaluation as people and programs read it: the line of figures, the table of classes, the confused pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neocog.app.cli.errors import nearest
from neocog.app.cli.output import count, format_table, percent
from neocog.data.batches import Batches
from neocog.data.dataset import Dataset
from neocog.data.resize import ImageSize
from neocog.errors import DataError
from neocog.model.arguments import check_names
from neocog.model.network import Network
from neocog.train.intervals import wilson_interval
from neocog.train.labels import LabelsEvaluation
from neocog.train.source import DataSource

if TYPE_CHECKING:
    from neocog.train.evaluation import Evaluation

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
        hint = f"rename {unknown[0]} to {guess}" if guess else "use data with the classes that it was trained on"
        if tuple(model_names) == check_names(None, len(model_names)):
            hint = "its classes are only numbered: neocog import FILE --labels TXT gives them names"
        raise DataError(
            f"the data has {count(len(unknown), 'class', 'classes')} that the model does not know: {shorten(unknown)}",
            details=(f"the model knows: {shorten(model_names)}",),
            hint=hint,
        )
    return np.array([place.get(name, -1) for name in data_names], np.int64)


def reader_of(
    model: Network, part: Dataset, labels: NDArray[np.int64], batch_size: int, workers: int | None
) -> DataSource:
    """Return the images of a part as a model takes them, with its labels; those that cannot be read are left out.

    Arguments:
        model: what will answer.
        part: the images.
        labels: the model's label of each of the part's, see `match_classes`.
        batch_size: images at a time; fewer where the model takes fewer.
        workers: processes that read.
    """
    size, most = ImageSize(*model.input_shape), min(batch_size, model.images_at_once)
    batches = Batches(part, most, size, resize=model.resize, workers=workers, on_error="skip")
    return DataSource(batches, labels, len(model.class_names))


def shorten(names: Sequence[str], most: int = 12) -> str:
    """List names, at most `most` of them, and of long ones the beginning."""
    rest = len(names) - most
    shown = (name if len(name) <= LONG_NAME else f"{name[: LONG_NAME - 3]}..." for name in names[:most])
    return ", ".join(shown) + (f" and {rest:,} more" if rest > 0 else "")


def class_table(evaluation: Evaluation) -> str:
    """Lay out the number of images of each class, and how well it is recognised."""
    rows: list[tuple[str, ...]] = [("class", "images", "recall", "95 %", "precision", "F1")]
    classes = list(evaluation.per_class.items())
    for name, found in classes[:SHOWN_CLASSES]:
        interval = between(wilson_interval(found.right, found.images) if found.images else None)
        shares = (percent(found.recall), interval, percent(found.precision), percent(found.f1))
        rows.append((name, f"{found.images:,}", *shares))
    text = format_table(rows, right=range(1, len(rows[0])))
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


def accuracy_line(evaluation: Evaluation | LabelsEvaluation, kind: str) -> str:
    """Say how many images were recognised, and how far off that may be; `kind` is a noun such as "test image"."""
    interval = None if isinstance(evaluation, LabelsEvaluation) else evaluation.accuracy_interval
    sure = "" if interval is None else f" (95 %: {between(interval)})"
    return f"{percent(evaluation.accuracy)} of {count(evaluation.images, kind)}{sure}, loss {evaluation.loss:.4f}"


def macro_line(evaluation: Evaluation) -> str:
    """Say how well the classes are recognised, each counting as much, and which are recognised worst."""
    interval = evaluation.macro_recall_interval
    sure = "" if interval is None else f" (95 %: {between(interval)})"
    weakest = [
        f"{shorten([name])} {percent(evaluation.per_class[name].recall)} of {evaluation.per_class[name].images:,}"
        for name in evaluation.weakest()
    ]
    return f"{percent(evaluation.macro_recall)}{sure}" + (f"; weakest: {', '.join(weakest)}" if weakest else "")


def certainty_rows(evaluation: Evaluation, *, fitted: bool = False) -> list[tuple[str, str]]:
    """Say how far the probabilities can be trusted, and what comes of withholding answers.

    Arguments:
        evaluation: what was measured.
        fitted: whether on the images that the temperature and the threshold were found on.
    """
    found = evaluation.certainty
    if found is None:
        return []
    error = f"calibration error {100 * found.error:.1f} %"
    if found.temperature != 1.0:
        error += f" at temperature {found.temperature:.3g} ({100 * found.error_before:.1f} % without)"
        if fitted:
            error += "; these images fitted it, others will show a little more"
    rows = [("certainty", error)]
    if found.kept is not None:
        threshold, answered, right = found.kept
        good = f"{percent(right / answered)} of the answers are right" if answered else "none is answered"
        rows.append(
            ("unknown", f"below {threshold:.4f}: {percent(answered / found.images)} of the images are answered, {good}")
        )
    return rows


def between(interval: tuple[float, float] | None) -> str:
    """Write an interval of shares.

    >>> between((0.82134, 0.946))
    '82.1 to 94.6'
    """
    return "-" if interval is None else f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f}"


def confused_line(evaluation: Evaluation) -> str:
    """Name the most confused pairs in one line."""
    pairs = most_confused(evaluation.pairs, list(evaluation.per_class))
    return "; ".join(map(str, pairs)) if pairs else "none"
