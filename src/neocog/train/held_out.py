"""Images of an array that are measured after every epoch, and never trained on: `validation_split`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neocog.data.arrays import array_digests
from neocog.data.split import split_by_content
from neocog.engines.base import Images
from neocog.errors import SettingError
from neocog.nn.losses import CrossEntropy, Loss


def split_off(
    images: Images, labels: NDArray[np.generic], share: float, seed: int, loss: Loss
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Choose a share of some images, class by class and by content, as `neocog.data.split` does: the indices chosen,
    and the rest, both ascending. Equal images stay together.

    Labels that name no class, such as numbers and pixels, leave all images in one.

    Raises:
        SettingError: the share is not in [0, 1), or leaves one side without images.
    """
    if not 0.0 <= share < 1.0:
        raise SettingError(f"validation_split must lie in [0, 1), got {share!r}")
    classes = _strata(labels, loss)
    parts = split_by_content(array_digests(images), classes, validation_fraction=share, seed=seed)
    if not len(parts.validation) or not len(parts.train):
        raise SettingError(
            f"validation_split must leave images on both sides, got {share!r} of {len(images)} images",
            hint="a class gives some where it has two that differ",
        )
    return parts.validation, parts.train


def _strata(labels: NDArray[np.generic], loss: Loss) -> NDArray[np.int64]:
    """Return what a split is stratified by: (N,) classes, or (N, labels) of 0 and 1."""
    if labels.ndim == 1:
        return labels.astype(np.int64)
    if labels.ndim == 2 and loss.several_labels:
        return (labels.astype(np.float64) > 0.5).astype(np.int64)
    if labels.ndim == 2 and isinstance(loss, CrossEntropy):  # shares of classes
        return np.asarray(labels.argmax(axis=1), np.int64)
    return np.zeros(len(labels), np.int64)
