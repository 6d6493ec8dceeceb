"""Fitting a model's temperature, and the threshold of its answers, on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from neocog.engines.targets import check_targets
from neocog.errors import DataError, SettingError
from neocog.model.calibration import Calibration, Reject, calibrated
from neocog.model.network import Network
from neocog.train.metrics import target_classes
from neocog.train.source import Batch
from neocog.train.thresholds import check_fits_float32


def calibrate(model: Network, batches: Iterable[Batch], *, reject: Reject | None = None) -> Calibration:
    """Fit the temperature of a model's probabilities; `neocog.Model.calibrate` says more.

    Arguments:
        model: gets the calibration, and the threshold that `reject` asks for.
        batches: pairs of images and labels, of any sizes.
        reject: which answers to withhold; None: none.

    Raises:
        DataError: there are no images, or labels are out of range.
        SettingError: the model gives several labels an image, answers for pixels, or answers in int8.
        NeocogError: no threshold gives the precision asked for.
    """
    check_calibrates(model)
    logits, classes = [], []
    for images, labels in batches:
        answers = model.logits(images)
        logits.append(answers)
        classes.append(target_classes(answers, check_targets(model.graph, model.loss, labels, len(answers))))
    if not sum(map(len, logits)):
        raise DataError("a calibration needs at least one image, got none")
    model.calibration, model.reject_below = calibrated(np.concatenate(logits), np.concatenate(classes)), None
    if reject is not None:
        model.reject(reject)
    return model.calibration


def check_calibrates(model: Network) -> None:
    """Raise SettingError unless a model gives each image one class, in float32."""
    check_fits_float32(model)
    if model.loss.several_labels or len(model.graph.answer_shape) != 1:
        what = "several labels an image" if model.loss.several_labels else "an answer for each pixel"
        raise SettingError(f"calibrating and rejecting need a model that gives each image one class, this gives {what}")
