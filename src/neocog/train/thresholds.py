"""Thresholds of labels, fitted on batches of images that a model was not trained on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from neocog.engines.targets import check_targets
from neocog.errors import DataError, SettingError
from neocog.model.network import Network
from neocog.model.thresholds import fit_thresholds, sigmoid
from neocog.train.metrics import target_labels
from neocog.train.source import Batch


def check_fits_float32(model: Network) -> None:
    """Raise SettingError where a model answers in int8: what is fitted to its answers is kept for those of float32."""
    if model.precision == "int8":
        raise SettingError(
            "probabilities are fitted to the answers in float32, and this model answers in int8",
            hint='leave --precision out, in Python set model.precision = "float32"; int8 then uses the same fit',
        )


def fit_thresholds_on(model: Network, batches: Iterable[Batch]) -> None:
    """Set `model.thresholds` to those that give the largest F1 of each label; `neocog.model.thresholds` says which.

    Arguments:
        model: for several labels an image.
        batches: pairs of images and labels, such as `source.batches(0)`; of any sizes.

    Raises:
        SettingError: the model gives one class, answers pixel by pixel, or answers in int8.
        DataError: there are no images, or labels are out of range.
    """
    if not model.loss.several_labels or len(model.graph.answer_shape) > 1:
        what = "answers pixel by pixel" if model.loss.several_labels else "gives one class"
        raise SettingError(
            f"thresholds need a model for several labels an image, this one {what}",
            hint=None if model.loss.several_labels else "such a model is trained with loss=nc.BinaryCrossEntropy()",
        )
    check_fits_float32(model)
    probabilities, truths = [], []
    for images, labels in batches:
        logits = model.logits(images)
        probabilities.append(sigmoid(logits))
        truths.append(target_labels(check_targets(model.graph, model.loss, labels, len(logits))))
    if not sum(map(len, truths)):
        raise DataError("fitting thresholds needs at least one image, got none")
    model.thresholds = fit_thresholds(np.concatenate(probabilities), np.concatenate(truths))
