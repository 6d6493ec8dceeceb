"""The numbers that a network takes for its images: what they are from 0 to, and what is done to them first."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neocog.errors import NeocogWarning, SettingError
from neocog.interop.onnx.document import Document, ValueInfo
from neocog.interop.onnx.metadata import NEOCOG
from neocog.interop.onnx.simplify import Simplified
from neocog.nn.limits import is_number, shown

UINT8 = 2
"""How ONNX numbers the type."""


def normalisation(
    network: Simplified,
    inputs: Sequence[ValueInfo],
    value_range: float | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> tuple[list[float], list[float]]:
    """Return mean and std of images in 0 to 1: those that are given, and what the head of the network does.

    Raises:
        SettingError: the range is none.
    """
    scale, shift = network.scale, network.shift
    if value_range is None:
        # (x - 123) / 58 is of images in 0 to 255, (x - 0.48) / 0.23 of images in 0 to 1
        bytes_first = inputs[0].element == UINT8 or np.max(np.abs(shift / scale)) > 2 or np.max(scale) < 0.1
        value_range = 255.0 if bytes_first else 1.0
    elif not is_number(value_range) or value_range <= 0:
        raise SettingError(f"value_range must be a number above 0, such as 255, got {shown(value_range)}")
    own_mean, own_std = (np.asarray(values, np.float64) / value_range for values in (mean, std))
    return _shortest(own_mean - shift * own_std / scale), _shortest(own_std / scale)


def tell_of_range(document: Document, network: Simplified) -> None:
    """Warn where nothing in a file says what numbers its images are: a network answers wrong ones all the same."""
    plain = np.all(network.scale == 1) and np.all(network.shift == 0)
    if plain and document.inputs[0].element != UINT8 and NEOCOG not in document.metadata:
        warnings.warn(
            NeocogWarning(
                f"{document.path} does not say which numbers its images are; those from 0 to 1 are taken",
                hint="if they are from 0 to 255: neocog import FILE --mean 0 --std 1 --range 255 makes a model that "
                "says so (in Python: value_range=255)",
            ),
            stacklevel=3,
        )


def _shortest(values: NDArray[np.float64]) -> list[float]:
    numbers = [float(value) for value in values]
    return numbers[:1] if len(set(numbers)) == 1 else numbers
