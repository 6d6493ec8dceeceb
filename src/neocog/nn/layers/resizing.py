"""Enlarging by interpolation: nothing is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from neocog.errors import SettingError
from neocog.nn.layer import Layer, image_input
from neocog.nn.limits import shown
from neocog.nn.shapes import ImageShape, Shape
from neocog.nn.window import Pair, check_pair, pair

__all__ = ["Upsample"]


@dataclass(frozen=True, slots=True)
class Upsample(Layer):
    """Enlarge an image, each channel by itself.

    Pixels are little squares: the middle of output pixel p lies at (p + 1/2) / scale - 1/2 of the input, counted from
    the middle of its first pixel (PyTorch's align_corners=False).

    Arguments:
        scale: how many times as high and as wide the image becomes, whole numbers.
        mode: "nearest" repeats pixels; "bilinear" weighs the four around by how near they are, and at the border takes
            what lies there.

    >>> Upsample(2).output_shape(ImageShape(4, 3, 8))
    ImageShape(height=8, width=6, channels=8)
    """

    enlarges: ClassVar[bool] = True

    scale: Pair = 2
    mode: Literal["nearest", "bilinear"] = "nearest"

    def __post_init__(self) -> None:
        check_pair("Upsample", "scale", self.scale, 1)
        if self.mode not in ("nearest", "bilinear"):
            raise SettingError(f'Upsample: mode must be "nearest" or "bilinear", got {shown(self.mode)}')

    def output_shape(self, *inputs: Shape) -> ImageShape:
        image, (rows, columns) = image_input(self, inputs[0]), pair(self.scale)
        return ImageShape(image.height * rows, image.width * columns, image.channels)
