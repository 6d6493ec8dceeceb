"""Other colours: all of them are one matrix for each image, so that a pixel is rounded and cut off once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from neocog.data.augment.affine import sine_cosine
from neocog.data.augment.draws import Draws
from neocog.data.augment.transform import Pictures, Transform, check_real

LUMINANCE = np.array([0.299, 0.587, 0.114])
"""Of red, green and blue (ITU-R BT.601), as Pillow's and torchvision's grey."""

_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_RGB = np.array([[1.0, 0.956296, 0.621024], [1.0, -0.272122, -0.647381], [1.0, -1.106989, 1.704615]])
"""From YIQ (FCC NTSC 1953), the inverse."""


@dataclass(frozen=True, slots=True)
class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue.

    In this order: times a factor; away from or towards the image's mean; away from or towards the pixel's grey;
    turned about the grey axis, in YIQ (where torchvision goes by HSV, which bends colours). The result is cut off at 0
    and 255 once, at the end. Images of other than three channels change in brightness and contrast alone.

    Arguments:
        brightness, contrast, saturation: factors lie from 1 - x to 1 + x, from 0 on.
        hue: a share of a whole turn, at most 0.5, either way.
    """

    word: ClassVar[str] = "jitter"
    main: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "saturation")

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.0

    def __post_init__(self) -> None:
        check_real(self, 0, 10, brightness=self.brightness, contrast=self.contrast, saturation=self.saturation)
        check_real(self, 0, 0.5, hue=self.hue)

    def apply(self, images: Pictures, draws: Draws, sides: tuple[int, int]) -> Pictures:
        bright, contrast, saturation = (
            draws.uniform(number, max(0.0, 1 - extent), 1 + extent)
            for number, extent in enumerate((self.brightness, self.contrast, self.saturation))
        )
        offsets = np.zeros(len(images))
        if self.contrast:
            means = images.reshape(len(images), -1).sum(axis=1, dtype=np.uint32) / images[0].size
            offsets = (1 - contrast) * bright * means
        scale = bright * contrast
        if images.shape[3] != 3 or not (self.saturation or self.hue):
            scale_pictures(images, scale, offsets)
            return images
        matrices = saturated(saturation)
        if self.hue:
            matrices = _hue_turned(draws.uniform(3, -self.hue, self.hue), matrices)
        recolour(images, scale[:, None, None] * matrices, offsets)
        return images


@dataclass(frozen=True, slots=True)
class RandomGrayscale(Transform):
    """Make some images grey: all three channels are the luminance. Images of other channels stay as they are.

    Arguments:
        share: how many, from 0 to 1.
    """

    word: ClassVar[str] = "grey"

    share: float = 0.1

    def __post_init__(self) -> None:
        check_real(self, 0, 1, share=self.share)

    def apply(self, images: Pictures, draws: Draws, sides: tuple[int, int]) -> Pictures:
        places = np.flatnonzero(draws.chosen(0, self.share))
        if images.shape[3] == 3 and len(places):
            grey = images[places]
            recolour(grey, saturated(np.zeros(len(places))), np.zeros(len(places)))
            images[places] = grey
        return images


def saturated(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 3, 3) matrices that move colours away from (above 1) or towards (below) their grey."""
    factor = factors[:, None, None]
    matrices: NDArray[np.float64] = factor * np.eye(3) + (1 - factor) * LUMINANCE
    return matrices


def scale_pictures(images: Pictures, scale: NDArray[np.float64], offsets: NDArray[np.float64]) -> None:
    """Make each image x · scale + offset, rounded and cut off."""
    values = np.empty(images.shape[1:], np.float32)
    for image, factor, offset in zip(images, scale.astype(np.float32), offsets.astype(np.float32), strict=True):
        np.multiply(image, factor, out=values)
        _store(values, offset, image)


def recolour(images: Pictures, matrices: NDArray[np.float64], offsets: NDArray[np.float64]) -> None:
    """Make every pixel matrix · (red, green, blue) + offset, rounded and cut off.

    Arguments:
        images: (n, height, width, 3).
        matrices: (n, 3, 3).
        offsets: (n,).

    A row of pixels is one vector of numbers: red, green, blue, red, and so on. Each result is the sum over the five
    numbers around it times a vector of coefficients, which are 0 where the number belongs to a neighbour. So NumPy goes
    through memory in order, in half the time that channels taken apart would need.
    """
    _, height, width, _ = images.shape
    size = height * width * 3
    numbers = np.zeros(size + 4, np.float32)
    total, product = np.empty((2, height, width * 3), np.float32)
    for image, coefficients, offset in zip(images, _by_shift(matrices, width), offsets.astype(np.float32), strict=True):
        numbers[2:-2] = image.reshape(-1)
        for shift in range(5):
            shifted = numbers[shift : shift + size].reshape(total.shape)
            np.multiply(shifted, coefficients[shift], out=product if shift else total)
            if shift:
                np.add(total, product, out=total)
        _store(total, offset, image.reshape(total.shape))


def _by_shift(matrices: NDArray[np.float64], width: int) -> NDArray[np.float32]:
    """Return (n, 5, 3 · width): what the number -2, ..., 2 places on is multiplied by, for each number of a row."""
    coefficients = np.zeros((len(matrices), 5, 3), np.float32)
    for row in range(3):
        for column in range(3):
            coefficients[:, 2 + column - row, row] = matrices[:, row, column]
    return np.tile(coefficients, width)


def _store(values: NDArray[np.float32], offset: np.float32, out: NDArray[np.uint8]) -> None:
    values += offset + np.float32(0.5)
    np.clip(values, 0, 255, out=values)
    np.copyto(out, values, casting="unsafe")  # which cuts what is behind the point off


def _hue_turned(turns: NDArray[np.float64], matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return turn · matrix, where the turn leaves greys as they are."""
    sine, cosine = sine_cosine(turns * 360)
    turned = np.empty_like(matrices)
    for place in range(len(turns)):
        rotation = np.array([[1, 0, 0], [0, cosine[place], -sine[place]], [0, sine[place], cosine[place]]])
        turned[place] = _product(_product(_product(_RGB, rotation), _YIQ), matrices[place])
    return turned


def _product(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a · b of two 3 x 3 matrices, in an order of sums that no library decides."""
    product: NDArray[np.float64] = a[:, 0:1] * b[0] + a[:, 1:2] * b[1] + a[:, 2:3] * b[2]
    return product
