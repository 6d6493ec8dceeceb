"""Other colours: a matrix and an offset for each image, so that numbers are rounded once.

Pictures are worked on as 16-bit integers, a few at a time, which stay in the second-level cache; an image is one vector
of numbers: red, green, blue, red, and so on. So each operation of NumPy is one pass through memory in order, at about a
microsecond for 96 x 96 pixels, without the interpreter lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from neocog.data.augment.affine import sine_cosine
from neocog.data.augment.draws import Draws
from neocog.data.augment.transform import Pictures, Transform, check_real

LUMINANCE = (77, 150, 29)
"""256ths of red, green and blue (ITU-R BT.601), as Pillow's and torchvision's grey."""

REACH = 506
"""Numbers up to this many, in 64ths, are 16 bits, with some left for what rounding adds: 506 · 64 + 383 < 2^15."""

_YIQ = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
_RGB = np.array([[1.0, 0.956296, 0.621024], [1.0, -0.272122, -0.647381], [1.0, -1.106989, 1.704615]])
"""From YIQ (FCC NTSC 1953), the inverse."""

_GROUP_BYTES = 1 << 19  # of the numbers that are worked on at a time

Numbers = NDArray[np.int16]
"""(n, height · width · channels)."""


@dataclass(frozen=True, slots=True)
class ColorJitter(Transform):
    """Change brightness, contrast, saturation and hue.

    In this order: times a factor; away from or towards the image's mean; away from or towards the grey of each pixel;
    turned about the grey axis, in YIQ (where torchvision goes by HSV, which bends colours). All of it is one matrix and
    one offset for each image, so that numbers are rounded and cut off at 0 and 255 once. Images of other than three
    channels change in brightness and contrast alone.

    Arguments:
        brightness, contrast, saturation: factors lie from 1 - x to 1 + x, from 0 on; x is at most 1.
        hue: a share of a whole turn, at most 0.5, either way.
    """

    word: ClassVar[str] = "jitter"
    main: ClassVar[tuple[str, ...]] = ("brightness", "contrast", "saturation")

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.0

    def __post_init__(self) -> None:
        check_real(self, 0, 1, brightness=self.brightness, contrast=self.contrast, saturation=self.saturation)
        check_real(self, 0, 0.5, hue=self.hue)

    def apply(self, images: Pictures, draws: Draws, sides: tuple[int, int]) -> Pictures:
        bright, contrast, saturation = (
            draws.uniform(number, 1 - extent, 1 + extent)
            for number, extent in enumerate((self.brightness, self.contrast, self.saturation))
        )
        turns = draws.uniform(3, -self.hue, self.hue)
        rows = images.reshape(len(images), -1)
        factors, coloured = bright * contrast, images.shape[3] == 3
        offsets = (1 - contrast) * bright * (rows.sum(axis=1, dtype=np.uint32) / rows.shape[1])
        if coloured and self.hue:
            matrices = factors[:, None, None] * _hue_turned(turns, saturated(saturation))
            recolour(images, matrices, offsets)
            return images
        if not (coloured and self.saturation):
            saturation[:] = 1
        for part, numbers, room in _groups(rows):
            np.copyto(numbers, rows[part])
            _weigh(
                numbers, factors[part], saturation[part], offsets[part], room if coloured and self.saturation else None
            )
            np.copyto(rows[part], numbers, casting="unsafe")
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
            chosen = images[places]
            rows = chosen.reshape(len(places), -1)
            for part, numbers, room in _groups(rows):
                np.copyto(numbers, rows[part])
                np.copyto(rows[part], _greys(numbers, room), casting="unsafe")
            images[places] = chosen
        return images


def _groups(rows: Pictures) -> Iterator[tuple[slice, Numbers, Numbers]]:
    """Yield parts of images, room for the numbers of each, and twice as much for more.

    It is the same memory every time, since the system takes longer to give some than all of the arithmetic does.
    """
    n, size = rows.shape
    step = max(1, min(n, _GROUP_BYTES // (2 * size)))
    room = np.empty((3, step, size), np.int16)
    for start in range(0, n, step):
        part = slice(start, min(n, start + step))
        count = part.stop - start
        yield part, room[0, :count], room[1:, :count]


def _weigh(
    numbers: Numbers,
    factors: NDArray[np.float64],
    saturation: NDArray[np.float64],
    offsets: NDArray[np.float64],
    room: Numbers | None,
) -> None:
    """Make numbers factor · (grey + saturation · (x - grey)) + offset, rounded and cut off.

    Factors are multiples of 1/64, or of 1/32, 1/16 or 1/8 where the result could otherwise be beyond 16 bits. What is
    on the way to it may be, and comes back: sums are right modulo 2^16. Without `room`, saturation is 1.
    """
    reach = 255 * np.maximum(1, saturation) * factors + np.abs(offsets)
    bits = 6 - sum((reach > REACH * 2**doubled).astype(np.int16) for doubled in range(3))
    unit = 2.0**bits
    whole, own = np.rint(factors * unit), np.rint(factors * saturation * unit)
    added = np.rint(offsets * unit) + unit / 2
    if room is not None:
        grey = _greys(numbers, room)
        grey *= (whole - own).astype(np.int16)[:, None]
    numbers *= own.astype(np.int16)[:, None]
    if room is not None:
        numbers += grey
    numbers += added.astype(np.int16)[:, None]
    numbers >>= bits[:, None]
    np.clip(numbers, 0, 255, out=numbers)


def _greys(numbers: Numbers, room: Numbers) -> Numbers:
    """Return the luminance of each pixel three times, where its red, green and blue are, without taking channels apart.

    A weighted number and the two behind it add up to the luminance where the first is a red one. There it is kept, put
    beside and added up again. All sums are below 2^16: 256 · 255.
    `room` is for two of as many numbers; one is the result.
    """
    weights, is_red = _by_channel(LUMINANCE, numbers.shape[1]), _by_channel((1, 0, 0), numbers.shape[1])
    weighted, luminance = room.view(np.uint16)
    np.multiply(numbers.view(np.uint16), weights, out=weighted)
    luminance[:, -2:] = 0
    np.add(weighted[:, :-2], weighted[:, 1:-1], out=luminance[:, :-2])
    luminance[:, :-2] += weighted[:, 2:]
    luminance += np.uint16(128)
    luminance >>= np.uint16(8)
    luminance *= is_red
    grey = weighted
    grey[:, 0] = luminance[:, 0]
    np.add(luminance[:, 1:], luminance[:, :-1], out=grey[:, 1:])
    grey[:, 2:] += luminance[:, :-2]
    result: Numbers = grey.view(np.int16)
    return result


@lru_cache(maxsize=8)
def _by_channel(values: tuple[int, int, int], size: int) -> NDArray[np.uint16]:
    """Return (size,) three values over and over."""
    return np.tile(np.array(values, np.uint16), size // 3)


def saturated(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (n, 3, 3) matrices that move colours away from (above 1) or towards (below) their grey."""
    factor = factors[:, None, None]
    matrices: NDArray[np.float64] = factor * np.eye(3) + (1 - factor) * (np.array(LUMINANCE) / 256)
    return matrices


def recolour(images: Pictures, matrices: NDArray[np.float64], offsets: NDArray[np.float64]) -> None:
    """Make every pixel matrix · (red, green, blue) + offset, rounded and cut off.

    Arguments:
        images: (n, height, width, 3).
        matrices: (n, 3, 3).
        offsets: (n,).

    Each result is the sum over the five numbers around it times a vector of coefficients, which are 0 where the number
    belongs to a neighbour.
    """
    _, height, width, _ = images.shape
    size = height * width * 3
    numbers = np.zeros(size + 4, np.float32)
    total, product = np.empty((2, height, width * 3), np.float32)
    added = (offsets + 0.5).astype(np.float32)
    for image, coefficients, offset in zip(images, _by_shift(matrices, width), added, strict=True):
        numbers[2:-2] = image.reshape(-1)
        for shift in range(5):
            shifted = numbers[shift : shift + size].reshape(total.shape)
            np.multiply(shifted, coefficients[shift], out=product if shift else total)
            if shift:
                np.add(total, product, out=total)
        total += offset
        np.clip(total, 0, 255, out=total)
        np.copyto(image.reshape(total.shape), total, casting="unsafe")  # which cuts what is behind the point off


def _by_shift(matrices: NDArray[np.float64], width: int) -> NDArray[np.float32]:
    """Return (n, 5, 3 · width): what the number -2, ..., 2 places on is multiplied by, for each number of a row."""
    coefficients = np.zeros((len(matrices), 5, 3), np.float32)
    for row in range(3):
        for column in range(3):
            coefficients[:, 2 + column - row, row] = matrices[:, row, column]
    return np.tile(coefficients, width)


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
