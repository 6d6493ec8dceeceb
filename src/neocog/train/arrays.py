"""Arrays to train on, checked, with those that are held out for validation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neocog.data.identity import Identities, identities_of_array
from neocog.engines.base import Images
from neocog.engines.targets import check_targets
from neocog.model.network import Network
from neocog.model.pictures import checked_arrays
from neocog.nn.losses import Loss
from neocog.train.held_out import split_off
from neocog.train.source import ArraySource

Labelled = tuple[NDArray[np.generic], NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Arrays:
    """Images and labels as a network takes them.

    Arguments:
        own: what is trained on.
        held_out: what is measured after every epoch; None: nothing.
    """

    own: tuple[Images, NDArray[np.generic]]
    held_out: tuple[Images, NDArray[np.generic]] | None

    @classmethod
    def of(
        cls,
        network: Network,
        loss: Loss,
        images: NDArray[np.generic],
        labels: NDArray[np.generic],
        *,
        validation_data: Labelled | None,
        validation_split: float,
        seed: int,
    ) -> Arrays:
        """Check what a caller gave, and draw what is held out where that is asked for.

        Raises:
            ShapeError, DataError, SettingError: arguments that do not fit.
        """
        x, y = _checked(network, loss, images, labels)
        if validation_data is not None:
            return cls((x, y), _checked(network, loss, *validation_data))
        if not validation_split:
            return cls((x, y), None)
        chosen, rest = split_off(x, y, validation_split, seed, loss)
        return cls((x[rest], y[rest]), (x[chosen], y[chosen]))

    def validation(self, batch_size: int) -> ArraySource | None:
        """Return batches of what is held out."""
        return self.held_out and ArraySource(*self.held_out, batch_size=batch_size, shuffle=False)

    @property
    def learnt_from(self) -> Identities:
        """Which images these are."""
        parts = [self.own, *([self.held_out] if self.held_out is not None else [])]
        return np.unique(np.concatenate([identities_of_array(images) for images, _ in parts]))


def _checked(
    network: Network, loss: Loss, images: NDArray[np.generic], labels: NDArray[np.generic]
) -> tuple[Images, NDArray[np.generic]]:
    x = checked_arrays(network.graph, images)
    return x, check_targets(network.graph, loss, labels, len(x))
