"""The one sentence that a report begins with."""

from __future__ import annotations

import numpy as np
import pytest

from neocog.app.report.diagnosis import diagnose, gap_of
from neocog.train.evaluation import ClassResult, Evaluation


def evaluation(*rights: int, images: int = 50) -> Evaluation:
    """An evaluation of classes of so many images, so many of which were recognised."""
    per_class = {f"class {place}": ClassResult(images, images, right) for place, right in enumerate(rights)}
    return Evaluation(0.5, images * len(rights), per_class, np.zeros((0, 3), np.int64))


def history(losses: list[float], accuracy: float = 0.8, validation: float = 0.8) -> list[dict[str, float | None]]:
    """Epochs of such validation losses."""
    return [
        {"epoch": place, "val_loss": loss, "accuracy": accuracy, "val_accuracy": validation}
        for place, loss in enumerate(losses, 1)
    ]


FLAT = history([1.0, 0.5, 0.4, 0.4, 0.4])


@pytest.mark.parametrize(
    ("measured", "epochs", "best", "code"),
    [
        (evaluation(50, 0, 0), FLAT, 3, "nothing"),  # as good as always answering the first
        (evaluation(45, 40, 0), FLAT, 3, "never"),
        (evaluation(40, 40, 40), history([1.0, 0.8, 0.6, 0.5, 0.4]), 5, "longer"),
        (evaluation(40, 40, 40), history([1.0, 0.8, 0.6, 0.5, 0.4]), 3, "sound"),
        (evaluation(40, 40, 40), history([1.0, 0.5, 0.4, 0.4, 0.4], accuracy=0.99), 3, "by heart"),
        (evaluation(48, 48, 20), FLAT, 3, "weak class"),
        (evaluation(40, 42, 38), FLAT, 3, "sound"),
        (evaluation(40, 42, 38), [], None, "sound"),
    ],
)
def test_the_first_thing_to_say(measured, epochs, best, code) -> None:
    assert diagnose(measured, epochs, best)["code"] == code


def test_classes_are_named() -> None:
    assert diagnose(evaluation(45, 40, 0), FLAT, 3) == {"code": "never", "classes": ["class 2"], "of": 3}
    assert diagnose(evaluation(48, 48, 20), FLAT, 3)["class"] == "class 2"


def test_the_gap_is_that_of_the_best_epoch() -> None:
    epochs = history([1.0, 0.5], accuracy=0.9, validation=0.75)
    assert gap_of(epochs, 2) == 0.9 - 0.75
    assert gap_of(epochs, None) is None
    assert gap_of([{**epochs[0], "val_accuracy": None}], 1) is None
