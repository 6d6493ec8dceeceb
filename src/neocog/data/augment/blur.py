"""Images out of focus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from PIL import Image, ImageFilter

from neocog.data.augment.draws import Draws
from neocog.data.augment.transform import Pictures, Transform, check_real, each_through_pillow


@dataclass(frozen=True, slots=True)
class GaussianBlur(Transform):
    """Blur some images, as Pillow's GaussianBlur does it: three box filters in a row.

    Arguments:
        share: how many, from 0 to 1.
        sigma: the largest standard deviation, in pixels; the least is 0.1.
    """

    word: ClassVar[str] = "blur"

    share: float = 0.1
    sigma: float = 2.0

    def __post_init__(self) -> None:
        check_real(self, 0, 1, share=self.share)
        check_real(self, 0.1, 50, sigma=self.sigma)

    def apply(self, images: Pictures, draws: Draws, sides: tuple[int, int]) -> Pictures:
        sigmas = draws.uniform(1, 0.1, self.sigma).tolist()

        def blurred(image: Image.Image, place: int) -> Image.Image:
            return image.filter(ImageFilter.GaussianBlur(sigmas[place]))

        return each_through_pillow(images, np.flatnonzero(draws.chosen(0, self.share)), images.shape[1:3], blurred)
