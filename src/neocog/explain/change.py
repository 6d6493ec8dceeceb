"""How far weights have come from where they began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

SAME, LITTLE = 0.95, 0.5  # correlations with the beginning: above the first the eye sees no difference
MAGNIFIED = 10  # times, that small changes are shown
SMALL = 0.5  # of the size of the weights: changes below it are shown magnified

Impression = Literal["same", "recognisable", "little left"]


@dataclass(frozen=True, slots=True)
class Change:
    """How far some weights are from where they began, time by time.

    sizes: |weights - beginning| / |beginning|, by Euclid; infinite where they began at 0 and moved.
    correlations: Pearson's with the beginning; NaN where the weights, or those of the beginning, are all equal.
    """

    sizes: NDArray[np.float64]
    correlations: NDArray[np.float64]

    @property
    def impression(self) -> Impression:
        """What a reader who compares the last weights with the first will find."""
        last = self.correlations[-1]
        if self.sizes[-1] == 0 or last >= SAME:
            return "same"
        return "recognisable" if last >= LITTLE else "little left"

    @property
    def magnified(self) -> int:
        """How many times changes are drawn larger than they are, so that they are seen: 10, or 1 for large ones."""
        return MAGNIFIED if self.sizes[-1] < SMALL else 1


def change_of(times: Sequence[NDArray[np.floating]] | NDArray[np.floating]) -> Change:
    """Compare weights of several times (times, ...) with the first of them.

    >>> found = change_of(np.array([[1.0, -1.0], [2.0, -2.0], [-1.0, 1.0]]))
    >>> found.sizes.tolist(), found.correlations.round(3).tolist(), found.impression
    ([0.0, 1.0, 2.0], [1.0, 1.0, -1.0], 'little left')
    """
    flat = np.stack([np.asarray(values, np.float64).ravel() for values in times])
    moved, size = np.linalg.norm(flat - flat[0], axis=1), float(np.linalg.norm(flat[0]))
    centred = flat - flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.where(moved == 0, 0.0, moved / size)
        correlations = np.clip(centred @ centred[0] / (lengths * lengths[0]), -1, 1)
    return Change(sizes, correlations)
