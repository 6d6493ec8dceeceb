"""Parts of images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neocog.data.augment.draws import Draws
from neocog.data.augment.transform import Pictures, Transform, check_real, each_through_pillow
from neocog.errors import SettingError
from neocog.nn.limits import check_count, shown

_GROUP = 8  # images that are given borders at a time: few, so that they stay in the cache


@dataclass(frozen=True, slots=True)
class RandomCrop(Transform):
    """Shift images: put a border around each, and cut a part of its own size out anywhere.

    Arguments:
        padding: pixels of border on each side: an image is shifted by at most so many.
        border: "reflect" repeats the image mirrored at its edge, without the edge itself; "zero" is black.

    >>> RandomCrop(2)
    RandomCrop(padding=2, border='reflect')
    """

    word: ClassVar[str] = "crop"
    main: ClassVar[tuple[str, ...]] = ("padding",)

    padding: int = 4
    border: Literal["reflect", "zero"] = "reflect"

    def __post_init__(self) -> None:
        check_count("RandomCrop", "padding", self.padding, 4096)
        if self.border not in ("reflect", "zero"):
            raise SettingError(f'RandomCrop: border must be "reflect" or "zero", got {shown(self.border)}')

    def apply(self, images: Pictures, draws: Draws, sides: tuple[int, int]) -> Pictures:
        height, width = images.shape[1:3]
        if self.border == "reflect" and self.padding >= min(height, width):
            raise SettingError(
                f"RandomCrop: a border of {self.padding} reflected pixels needs images of at least "
                f"{self.padding + 1} x {self.padding + 1} pixels, got {height} x {width}",
                hint='make padding smaller, or the border black: border="zero", as text '
                f"{self.word}={self.padding}:border=zero",
            )
        tops, lefts = (draws.below(number, 2 * self.padding + 1).tolist() for number in (0, 1))
        for start in range(0, len(images), _GROUP):
            group = images[start : start + _GROUP]
            for image, wide, top, left in zip(group, self._padded(group), tops[start:], lefts[start:], strict=False):
                image[...] = wide[top : top + height, left : left + width]
        return images

    def _padded(self, images: Pictures) -> Pictures:
        """Return images with their borders; columns are taken as bytes of rows, which is faster than `np.pad`."""
        border, (n, height, width, channels) = self.padding, images.shape
        wide = np.zeros((n, height + 2 * border, width + 2 * border, channels), np.uint8)
        inner = wide[:, border:-border]
        inner[:, :, border:-border] = images
        if self.border == "reflect":
            columns = np.arange(border, 0, -1), np.arange(width - 2, width - 2 - border, -1)
            inner[:, :, :border], inner[:, :, -border:] = (_columns(images, chosen) for chosen in columns)
            wide[:, :border] = wide[:, 2 * border : border : -1]
            wide[:, -border:] = wide[:, -border - 2 : -2 * border - 2 : -1]
        return wide


def _columns(images: Pictures, columns: NDArray[np.int64]) -> Pictures:
    """Return some columns of images."""
    n, height, width, channels = images.shape
    places = (columns[:, None] * channels + np.arange(channels)).ravel()
    rows = images.reshape(n, height, width * channels)
    taken: Pictures = np.take(rows, places, axis=2).reshape(n, height, len(columns), channels)
    return taken


@dataclass(frozen=True, slots=True)
class RandomResizedCrop(Transform):
    """Cut a part of random area and proportions out of each image, and bring it to the network's size.

    Images are read a little larger than the network takes them, so that parts are sharper (`READ_SHARE`).
    (Szegedy et al. 2015, Going deeper with convolutions; resized as all images are, see `neocog.data.resize`.)

    Arguments:
        area: the least share of the image's area; the largest is all of it.
        ratio: width over height of the part is at most this, and at least 1 over it.

    >>> RandomResizedCrop(0.5)
    RandomResizedCrop(area=0.5, ratio=1.3333333333333333)
    """

    word: ClassVar[str] = "resized-crop"
    main: ClassVar[tuple[str, ...]] = ("area",)

    area: float = 0.35
    ratio: float = 4 / 3

    def __post_init__(self) -> None:
        check_real(self, 0.01, 1, area=self.area)
        check_real(self, 1, 10, ratio=self.ratio)

    def boxes(self, draws: Draws, height: int, width: int) -> NDArray[np.int64]:
        """Return (n, 4) the left, upper, right and lower edge of each part, in pixels."""
        pixels = draws.uniform(0, self.area, 1.0) * (height * width)
        ratio = draws.uniform(1, 1.0, self.ratio)
        ratio = np.where(draws.chosen(2, 0.5), ratio, 1.0 / ratio)
        # square roots are rounded correctly everywhere; exponentials, as in a log-uniform ratio, are not
        wide = np.clip(np.rint(np.sqrt(pixels * ratio)), 1, width).astype(np.int64)
        high = np.clip(np.rint(np.sqrt(pixels / ratio)), 1, height).astype(np.int64)
        left, upper = draws.below(3, width - wide + 1), draws.below(4, height - high + 1)
        return np.stack([left, upper, left + wide, upper + high], axis=1)

    def apply(self, images: Pictures, draws: Draws, sides: tuple[int, int]) -> Pictures:
        boxes = self.boxes(draws, images.shape[1], images.shape[2]).tolist()
        height, width = sides

        def part(image: Image.Image, place: int) -> Image.Image:
            return image.resize((width, height), Image.Resampling.BILINEAR, box=tuple(boxes[place]))

        return each_through_pillow(images, np.arange(len(images)), sides, part)


READ_SHARE = 8 / 7
"""Sides of images as they are read for a RandomResizedCrop, over those that the network takes."""
