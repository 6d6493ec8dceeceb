"""Parameters between arrays in memory layout and the blocks in which programs keep them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Array
from neocog.nn.parameters import Parameter
from neocog.plan.layout import Vectors
from neocog.plan.parameters import ParameterLayout, ParameterPlace


def read_parameter(flat: NDArray[np.float32], place: ParameterPlace, parameter: Parameter) -> Array:
    """Copy one parameter, or what lies in memory like it, out of a block."""
    block = flat[place.offset : place.offset + place.size]
    if isinstance(place, Vectors):
        return block[: place.channels].copy()
    view = block.reshape(place.count, place.rows, place.width)
    matrix = view.transpose(1, 0, 2).reshape(place.rows, place.count * place.width)
    return matrix[:, : place.columns].copy().reshape(parameter.shape)


def write_parameter(flat: NDArray[np.float32], layout: ParameterLayout, parameter: Parameter, value: Array) -> None:
    place = layout.places[parameter.name]
    block = flat[place.offset : place.offset + place.size]
    if isinstance(place, Vectors):
        block[: place.channels] = value
        return
    matrix = np.zeros((place.rows, place.count * place.width), np.float32)
    matrix[:, : place.columns] = value.reshape(place.rows, place.columns)
    block.reshape(place.count, place.rows, place.width)[...] = matrix.reshape(
        place.rows, place.count, place.width
    ).transpose(1, 0, 2)
