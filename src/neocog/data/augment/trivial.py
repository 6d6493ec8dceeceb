"""One change at random for each image, of random strength."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from neocog.data.augment.affine import sine_cosine
from neocog.data.augment.draws import Draws
from neocog.data.augment.transform import Pictures, Transform, check_real, each_through_pillow

Change = Callable[[Image.Image, float], Image.Image]

STRENGTHS = 31
"""Strengths are 0, 1/30, ..., 1."""


@dataclass(frozen=True, slots=True)
class TrivialAugment(Transform):
    """Change each image in one way, drawn from 14, with a strength drawn anew (Müller and Hutter 2021, TrivialAugment).

    The ways and their ranges are those of the paper's "wide" space: nothing, shearing and shifting along either axis,
    turning, brightness, colour, contrast, sharpness, fewer bits, solarizing, autocontrast, equalizing.

    Arguments:
        strength: a factor on all ranges, from 0 to 1.
    """

    word: ClassVar[str] = "trivial"
    main: ClassVar[tuple[str, ...]] = ("strength",)

    strength: float = 1.0

    def __post_init__(self) -> None:
        check_real(self, 0, 1, strength=self.strength)

    def apply(self, images: Pictures, draws: Draws, sides: tuple[int, int]) -> Pictures:
        ways = draws.below(0, len(WAYS)).tolist()
        strengths = draws.below(1, STRENGTHS) / (STRENGTHS - 1) * self.strength
        signed = np.where(draws.chosen(2, 0.5), strengths, -strengths).tolist()

        def changed(image: Image.Image, place: int) -> Image.Image:
            way: Change = WAYS[ways[place]]
            return way(image, signed[place])

        return each_through_pillow(images, np.arange(len(images)), images.shape[1:3], changed)


def _affine(image: Image.Image, matrix: tuple[float, ...]) -> Image.Image:
    a, b, d, e, right, down = matrix
    x, y = image.width / 2, image.height / 2
    data = (a, b, x - a * x - b * y + right, d, e, y - d * x - e * y + down)
    return image.transform(image.size, Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)


def _turned(image: Image.Image, strength: float) -> Image.Image:
    (sine,), (cosine,) = sine_cosine(np.array([135.0 * strength]))
    return _affine(image, (float(cosine), float(sine), -float(sine), float(cosine), 0, 0))


def _enhanced(kind: Callable[[Image.Image], Any]) -> Change:
    def change(image: Image.Image, strength: float) -> Image.Image:
        enhanced: Image.Image = kind(image).enhance(1 + 0.99 * strength)
        return enhanced

    return change


WAYS: tuple[Change, ...] = (
    lambda image, strength: image,
    lambda image, strength: _affine(image, (1, 0.99 * strength, 0, 1, 0, 0)),
    lambda image, strength: _affine(image, (1, 0, 0.99 * strength, 1, 0, 0)),
    lambda image, strength: _affine(image, (1, 0, 0, 1, 32 * strength * image.width / 224, 0)),
    lambda image, strength: _affine(image, (1, 0, 0, 1, 0, 32 * strength * image.height / 224)),
    _turned,
    _enhanced(ImageEnhance.Brightness),
    _enhanced(ImageEnhance.Color),
    _enhanced(ImageEnhance.Contrast),
    _enhanced(ImageEnhance.Sharpness),
    lambda image, strength: ImageOps.posterize(image, 8 - round(6 * abs(strength))),
    lambda image, strength: ImageOps.solarize(image, round(256 * (1 - abs(strength)))),
    lambda image, strength: ImageOps.autocontrast(image),
    lambda image, strength: ImageOps.equalize(image),
)
"""What is drawn from; each takes an image and a strength from -1 to 1."""
