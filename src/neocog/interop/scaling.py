"""What scikit-learn calls X, as images: rows of numbers in any units, or images as they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neocog.engines.base import Images
from neocog.errors import ShapeError
from neocog.nn.normalisation import UNKNOWN_LIMIT
from neocog.nn.shapes import checked_image_shape

Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Scaling:
    """How an array becomes images: its shape, and (value - offset) / scale.

    Rows (N, features) without an image's shape are measurements, each in units of its own: an image of 1 x 1 pixels
    with a channel for each, with mean 0 and deviation 1 on the data that it was made of. Values further out than any
    that mean something count as the last that does.

    Images, and rows of which it is said that they are images, have one unit: uint8, or floating-point in [0, 1], stay
    as they are, and what runs from some number to another runs from 0 to 1.

    >>> rows = np.array([[1.0, 100.0], [3.0, 300.0]])
    >>> Scaling.of(rows, None).images(rows).reshape(2, 2).tolist()
    [[-1.0, -1.0], [1.0, 1.0]]
    >>> Scaling.of(rows, (2, 1, 1)).images(rows).shape
    (2, 2, 1, 1)
    """

    shape: Shape
    offset: NDArray[np.float64]
    scale: NDArray[np.float64]
    measurements: bool = False

    @classmethod
    def of(cls, values: NDArray[Any], shape: Shape | None) -> Self:
        """Choose the scaling for what a network is trained on.

        Arguments:
            values: (N, features), (N, height, width) or (N, height, width, channels); numbers, all finite.
            shape: (height, width, channels) of an image, pixels; None: that of `values`.

        Raises:
            ShapeError: there are no such images in the array.
        """
        if shape is not None:
            image = checked_image_shape(shape)
            shape = image.height, image.width, image.channels
        elif values.ndim == 2:
            deviation = values.std(axis=0, dtype=np.float64)
            # A feature that never changes says nothing; whatever it is later, it is not blown up.
            scale = np.where(deviation > 0, deviation, 1.0)
            return cls((1, 1, values.shape[1]), values.mean(axis=0, dtype=np.float64), scale, measurements=True)
        else:
            shape = _shape_of(values)
            if shape is None:
                raise ShapeError(
                    f"X must be rows (N, features), or images (N, height, width[, channels]), got {values.shape}"
                )
        low, high = float(values.min()), float(values.max())
        kept = values.dtype == np.uint8 or (values.dtype.kind == "f" and low >= 0.0 and high <= 1.0)
        width = 1.0 if kept or high == low else high - low
        found = cls(shape, np.asarray(0.0 if kept else low), np.asarray(width))
        found.images(values[:1])  # tells what does not fit
        return found

    @property
    def changes(self) -> bool:
        """Whether values become others."""
        return bool(self.measurements or self.offset != 0.0 or self.scale != 1.0)

    def images(self, values: NDArray[Any]) -> Images:
        """Return images (N, height, width, channels), as a network takes them.

        Raises:
            ShapeError: they are not of the shape that the network was made for.
        """
        if values.ndim == 2 and values.shape[1] == math.prod(self.shape):
            values = values.reshape(len(values), *self.shape) if not self.measurements else values
        elif _shape_of(values) == self.shape:
            values = values.reshape(len(values), *self.shape)
        else:
            raise ShapeError(
                f"X must hold images of the shape {self.shape}, or rows of {math.prod(self.shape):,} numbers, "
                f"got the shape {values.shape}",
                hint=None if values.ndim == 2 else "image_shape is (height, width, channels)",
            )
        if not self.changes:
            return values if values.dtype == np.uint8 else values.astype(np.float32)
        scaled = (values - self.offset) / self.scale
        low, high = (-UNKNOWN_LIMIT, UNKNOWN_LIMIT) if self.measurements else (0.0, 1.0)
        return scaled.clip(low, high).astype(np.float32).reshape(len(values), *self.shape)


def _shape_of(values: NDArray[Any]) -> Shape | None:
    """Return the shape of the images in an array; None where it holds rows, or no images at all."""
    if values.ndim == 3:
        return values.shape[1], values.shape[2], 1
    return (values.shape[1], values.shape[2], values.shape[3]) if values.ndim == 4 else None
