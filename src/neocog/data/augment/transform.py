"""What all transforms are: frozen data that changes a batch of pictures by numbers drawn for each of them.

A transform takes and gives uint8 (n, height, width, channels). What it does to an image depends on that image and its
draws, never on the batch; only what mixes images (`Mix`) takes the next one of the batch too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neocog.data.augment.draws import Draws
from neocog.errors import SettingError
from neocog.nn.limits import is_number, shown

Pictures: TypeAlias = NDArray[np.uint8]
"""(n, height, width, channels)."""

Targets: TypeAlias = NDArray[np.float32]
"""(n, classes): the share of each class."""


@dataclass(frozen=True, slots=True)
class Transform:
    """Base of all transforms.

    Attributes:
        word: its name on the command line.
        main: the fields that a value behind that word sets.
    """

    word: ClassVar[str]
    main: ClassVar[tuple[str, ...]] = ("share",)

    def apply(self, images: Pictures, draws: Draws, sides: tuple[int, int]) -> Pictures:
        """Return changed images.

        Arguments:
            images: (n, height, width, channels); may be written to.
            draws: for these images.
            sides: height and width that the network takes; only what resizes needs to know.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Mix(Transform):
    """Base of transforms that make one image of two, and one target of both of theirs."""

    def mix(self, images: Pictures, targets: Targets, draws: Draws) -> tuple[Pictures, Targets]:
        """Return images, each mixed with the next one of the batch, and their targets."""
        raise NotImplementedError


def check_real(owner: object, low: float, high: float, **values: object) -> None:
    """Raise SettingError unless all values are numbers from `low` to `high`."""
    for name, value in values.items():
        if not (is_number(value) and low <= value <= high):  # type: ignore[operator]
            kind = type(owner).__name__
            raise SettingError(f"{kind}: {name} must be a number from {low:g} to {high:g}, got {shown(value)}")


def each_through_pillow(
    images: Pictures,
    which: NDArray[np.int64],
    sides: tuple[int, int],
    change: Callable[[Image.Image, int], Image.Image],
) -> Pictures:
    """Return images of which some went through Pillow.

    Arguments:
        images: (n, height, width, channels).
        which: places of those to change; the others must have the sides asked for.
        sides: height and width of what comes out.
        change: given an image and its place. Images of 1 or 3 channels come whole, others channel by channel.
    """
    out = images if images.shape[1:3] == sides else np.empty((len(images), *sides, images.shape[3]), np.uint8)
    whole = images.shape[3] == 3
    for place in map(int, which):
        if whole:
            out[place] = np.asarray(change(Image.fromarray(images[place]), place))
            continue
        for channel in range(images.shape[3]):
            plane = np.ascontiguousarray(images[place, :, :, channel])
            out[place, :, :, channel] = np.asarray(change(Image.fromarray(plane), place))
    return out
