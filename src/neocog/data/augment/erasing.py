"""Parts of images that are taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from neocog.data.augment.draws import Draws
from neocog.data.augment.transform import Pictures, Transform, check_real
from neocog.errors import SettingError
from neocog.nn.limits import check_count, shown


@dataclass(frozen=True, slots=True)
class RandomErasing(Transform):
    """Put a rectangle over some images (Zhong et al. 2020, Random erasing data augmentation).

    Arguments:
        share: how many, from 0 to 1.
        area: the largest share of the image's area; the least is 0.02.
        fill: "noise", or "mean": the image's own.
    """

    word: ClassVar[str] = "erase"

    share: float = 0.25
    area: float = 0.33
    fill: Literal["noise", "mean"] = "noise"

    def __post_init__(self) -> None:
        check_real(self, 0, 1, share=self.share)
        check_real(self, 0.02, 0.9, area=self.area)
        if self.fill not in ("noise", "mean"):
            raise SettingError(f'RandomErasing: fill must be "noise" or "mean", got {shown(self.fill)}')

    def apply(self, images: Pictures, draws: Draws, sides: tuple[int, int]) -> Pictures:
        height, width, channels = images.shape[1:]
        pixels = draws.uniform(1, 0.02, self.area) * (height * width)
        ratio = draws.uniform(2, 1.0, 1 / 0.3)
        ratio = np.where(draws.chosen(3, 0.5), ratio, 1.0 / ratio)
        wide = np.clip(np.rint(np.sqrt(pixels * ratio)), 1, width).astype(np.int64)
        high = np.clip(np.rint(np.sqrt(pixels / ratio)), 1, height).astype(np.int64)
        lefts, tops = draws.below(4, width - wide + 1), draws.below(5, height - high + 1)
        for place in map(int, np.flatnonzero(draws.chosen(0, self.share))):
            h, w = int(high[place]), int(wide[place])
            part = images[place, tops[place] : tops[place] + h, lefts[place] : lefts[place] + w]
            if self.fill == "noise":
                part[...] = draws.noise(6, place, h * w * channels).reshape(h, w, channels)
            else:
                part[...] = _mean(images[place])
        return images


@dataclass(frozen=True, slots=True)
class Cutout(Transform):
    """Put a square of the image's mean over every image, centred anywhere, so that it may reach over the edge.

    (DeVries and Taylor 2017, Improved regularization of convolutional neural networks with cutout.)

    Arguments:
        side: pixels.
    """

    word: ClassVar[str] = "cutout"
    main: ClassVar[tuple[str, ...]] = ("side",)

    side: int = 8

    def __post_init__(self) -> None:
        check_count("Cutout", "side", self.side, 4096)

    def apply(self, images: Pictures, draws: Draws, sides: tuple[int, int]) -> Pictures:
        height, width = images.shape[1:3]
        tops = (draws.below(0, height) - self.side // 2).tolist()
        lefts = (draws.below(1, width) - self.side // 2).tolist()
        for image, top, left in zip(images, tops, lefts, strict=True):
            mean = _mean(image)
            image[max(0, top) : top + self.side, max(0, left) : left + self.side] = mean
        return images


def _mean(image: Pictures) -> NDArray[np.int64]:
    """Return the mean of each channel, rounded."""
    height, width, channels = image.shape
    by_column = image.reshape(height, -1).sum(axis=0, dtype=np.uint32)  # whole rows at a time, in order
    sums = by_column.reshape(width, channels).sum(axis=0, dtype=np.int64)
    mean: NDArray[np.int64] = (sums + height * width // 2) // (height * width)
    return mean
