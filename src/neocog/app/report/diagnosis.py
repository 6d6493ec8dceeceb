"""One sentence on what a training came to: the first thing that a person with experience would say."""

from __future__ import annotations

from collections.abc import Sequence

from neocog.app.report.trained import Epoch
from neocog.train.evaluation import Evaluation
from neocog.train.labels import LabelsEvaluation

GAP = 0.1  # of accuracy between training and validation images, above which a network knows its images by heart
STILL = 0.02  # of the loss, relative: what the last tenth of the epochs must win for a longer training to be worth it
WEAK = 0.2  # of accuracy, by which a class must stay behind the whole to be named

Diagnosis = dict[str, object]
"""{"code": …} and what the sentence names; the page has its words, in both languages."""


def diagnose(evaluation: Evaluation | LabelsEvaluation, epochs: Sequence[Epoch], best: int | None) -> Diagnosis:
    """Say what is to be said first.

    Arguments:
        evaluation: of the best model.
        epochs: of the training.
        best: the epoch that the model is from.
    """
    if isinstance(evaluation, Evaluation):
        always = evaluation.per_class[evaluation.most_frequent].images / evaluation.images
        if evaluation.accuracy <= always:
            return {"code": "nothing"}
        shares = {name: found.recall for name, found in evaluation.per_class.items() if found.recall is not None}
        never = [name for name, share in shares.items() if share == 0]
        if never:
            return {"code": "never", "classes": never, "of": len(shares)}
    if _still_falling(epochs, best):
        return {"code": "longer"}
    gap = gap_of(epochs, best)
    if gap is not None and gap > GAP:
        return {"code": "by heart"}
    if isinstance(evaluation, Evaluation):
        weakest = min(shares, key=lambda name: shares[name])
        if shares[weakest] < evaluation.accuracy - WEAK:
            return {"code": "weak class", "class": weakest}
    return {"code": "sound"}


def gap_of(epochs: Sequence[Epoch], best: int | None) -> float | None:
    """Return by how much training accuracy exceeds validation accuracy at the best epoch; None without validation."""
    chosen = next((epoch for epoch in epochs if epoch["epoch"] == best), None)
    if chosen is None:
        return None
    accuracy, validation = chosen["accuracy"], chosen["val_accuracy"]
    return None if accuracy is None or validation is None else accuracy - validation


def _still_falling(epochs: Sequence[Epoch], best: int | None) -> bool:
    """Whether the last epochs were the best ones, and clearly better than those before them."""
    last = max(1, len(epochs) // 10)
    losses = [epoch["val_loss"] for epoch in epochs]
    if len(epochs) < 3 or best is None or best <= len(epochs) - last or None in losses:
        return False
    numbers = [float(loss) for loss in losses if loss is not None]
    before, after = min(numbers[:-last]), min(numbers[-last:])
    return after < before * (1 - STILL)
