"""Images turned, shifted, scaled and sheared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neocog.data.augment.draws import Draws
from neocog.data.augment.transform import Pictures, Transform, check_real, each_through_pillow

_TERMS = 14  # of Taylor's series: up to half a turn, what is left out is below 1e-16


@dataclass(frozen=True, slots=True)
class RandomAffine(Transform):
    """Turn, scale, shear and shift images about their centre, bilinearly; what comes in is black.

    Arguments:
        degrees: an image is turned by at most so much either way.
        shift: by at most this share of its side, each way.
        scale: the factor lies from 1 - scale to 1 + scale.
        shear: degrees by which upright lines lean, at most.
    """

    word: ClassVar[str] = "affine"
    main: ClassVar[tuple[str, ...]] = ("degrees",)

    degrees: float = 10.0
    shift: float = 0.05
    scale: float = 0.1
    shear: float = 0.0

    def __post_init__(self) -> None:
        check_real(self, 0, 180, degrees=self.degrees)
        check_real(self, 0, 1, shift=self.shift)
        check_real(self, 0, 0.9, scale=self.scale)
        check_real(self, 0, 60, shear=self.shear)

    def matrices(self, draws: Draws, height: int, width: int) -> NDArray[np.float64]:
        """Return (n, 6) a, b, c, d, e, f: the point (x, y) of what comes out shows (ax + by + c, dx + ey + f)."""
        sine, cosine = sine_cosine(draws.uniform(0, -self.degrees, self.degrees))
        factor = draws.uniform(1, 1 - self.scale, 1 + self.scale)
        slope_sine, slope_cosine = sine_cosine(draws.uniform(2, -self.shear, self.shear))
        lean = slope_sine / slope_cosine
        right = draws.uniform(3, -self.shift, self.shift) * width
        down = draws.uniform(4, -self.shift, self.shift) * height
        a, b = cosine / factor, sine / factor
        d, e = -sine / factor, cosine / factor
        b, e = b + a * lean, e + d * lean
        x, y = width / 2 + right, height / 2 + down
        return np.stack([a, b, width / 2 - a * x - b * y, d, e, height / 2 - d * x - e * y], axis=1)

    def apply(self, images: Pictures, draws: Draws, sides: tuple[int, int]) -> Pictures:
        height, width = images.shape[1:3]
        matrices = self.matrices(draws, height, width).tolist()

        def turned(image: Image.Image, place: int) -> Image.Image:
            return image.transform(
                (width, height), Image.Transform.AFFINE, tuple(matrices[place]), Image.Resampling.BILINEAR
            )

        return each_through_pillow(images, np.arange(len(images)), (height, width), turned)


def sine_cosine(degrees: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sine and cosine of angles up to half a turn, by sums and products alone: the same bits everywhere.

    >>> [round(float(values[0]), 12) for values in sine_cosine(np.array([30.0]))]
    [0.5, 0.866025403784]
    """
    x = degrees * (math.pi / 180)
    squared = x * x
    sine, cosine = np.ones_like(x), np.ones_like(x)
    for term in range(_TERMS, 0, -1):
        sine = 1 - sine * squared / (2 * term * (2 * term + 1))
        cosine = 1 - cosine * squared / (2 * term * (2 * term - 1))
    return x * sine, cosine
