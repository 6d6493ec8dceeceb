"""How an image is brought to the size that a network takes: the size, the rule, and the one function that does it.

Bilinear with antialias (Pillow's BILINEAR widens its filter when it shrinks), for files and arrays alike, so that
the same picture gives the same pixels in training, in evaluation and in prediction.

    stretch   height and width are scaled on their own: all of the picture is seen, proportions may change (default)
    crop      the largest centred part with the wanted proportions: nothing is distorted, the rim may be lost
    pad       the whole picture with its proportions, centred on black: all is seen, some pixels carry nothing

`stretch` is the default: it loses nothing, is the default of Keras too, and equals the others on square pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neocog.data.channels import array_to_channels, to_channels
from neocog.errors import SettingError

Images: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]
ResizeRule = Literal["stretch", "crop", "pad"]

RESIZE_RULES: tuple[ResizeRule, ...] = get_args(ResizeRule)
DEFAULT_RESIZE: ResizeRule = "stretch"


@dataclass(frozen=True, slots=True)
class ImageSize:
    """Height and width in pixels, and the number of channels (1 grey, 3 RGB, 4 RGBA).

    Raises:
        SettingError: one of them is not a whole number of at least 1.

    Example:
        >>> ImageSize(28, 28, 1).shape
        (28, 28, 1)
    """

    height: int
    width: int
    channels: int

    def __post_init__(self) -> None:
        for name, value in (("height", self.height), ("width", self.width), ("channels", self.channels)):
            # bool is an int in Python, and True pixels are a slip of the caller
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise SettingError(f"image size: {name} needs a whole number of at least 1, got {value!r}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return (self.height, self.width, self.channels)

    @property
    def values(self) -> int:
        """Numbers in one image: height x width x channels."""
        return self.height * self.width * self.channels

    def __str__(self) -> str:
        return f"{self.height} x {self.width} x {self.channels}"


def check_rule(rule: str) -> ResizeRule:
    """Return `rule` if it is one of `RESIZE_RULES`, else raise SettingError."""
    if rule not in RESIZE_RULES:
        raise SettingError(f"resize rule must be one of {', '.join(RESIZE_RULES)}, got {rule!r}")
    return rule


def resize_image(image: Image.Image, height: int, width: int, rule: ResizeRule = DEFAULT_RESIZE) -> Image.Image:
    """Bring a Pillow image to `height` x `width` pixels; its mode stays.

    Arguments:
        image: in mode L, RGB, RGBA or F (modes that can be interpolated).
        height, width: pixels wanted.
        rule: see the top of this file.

    Returns:
        The image itself where it has the size already, else a new one.

    Raises:
        SettingError: the rule is not known.
    """
    check_rule(rule)
    if image.size == (width, height):
        return image
    if rule == "crop":
        return image.resize((width, height), Image.Resampling.BILINEAR, box=_centred_box(image, height, width))
    if rule == "pad":
        scale = min(height / image.height, width / image.width)
        inner = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        canvas = Image.new(image.mode, (width, height), 0)
        canvas.paste(
            image.resize(inner, Image.Resampling.BILINEAR), ((width - inner[0]) // 2, (height - inner[1]) // 2)
        )
        return canvas
    return image.resize((width, height), Image.Resampling.BILINEAR)


def resize_array(image: Images, size: ImageSize, rule: ResizeRule = DEFAULT_RESIZE) -> Images:
    """Bring one array image to `size`, through the same Pillow code as a file.

    Arguments:
        image: (height, width, channels), uint8, or float32.
        size: the size and channels wanted; grey, RGB and RGBA are converted as in `channels.to_channels`.
        rule: see the top of this file.

    Returns:
        (size.height, size.width, size.channels) of the same dtype. Float images are never rounded to 8 bits.

    Raises:
        DataError: the channels cannot be converted, such as 5 into 3.
        SettingError: the rule is not known.

    Example:
        >>> resize_array(np.zeros((8, 8, 1), np.uint8), ImageSize(16, 16, 3)).shape
        (16, 16, 3)
    """
    check_rule(rule)
    if image.shape == size.shape:
        return image
    if image.dtype == np.uint8 and image.shape[2] in (1, 3, 4) and size.channels in (1, 3, 4):
        picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
        return image_to_array(resize_image(to_channels(picture, size.channels), size.height, size.width, rule))
    planes = array_to_channels(image, size.channels)
    resized = [
        np.asarray(resize_image(Image.fromarray(np.ascontiguousarray(planes[:, :, c])), size.height, size.width, rule))
        for c in range(size.channels)
    ]
    return cast(Images, np.stack(resized, axis=2))


def image_to_array(image: Image.Image) -> NDArray[np.uint8]:
    """Return the pixels of an 8-bit Pillow image as (height, width, channels) uint8."""
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _centred_box(image: Image.Image, height: int, width: int) -> tuple[float, float, float, float]:
    """Return left, upper, right, lower of the largest centred part of `image` with the proportions wanted.

    Resizing from this box equals resizing the shorter side and cropping, without rounding a size in between.
    """
    scale = min(image.width / width, image.height / height)
    box_width, box_height = width * scale, height * scale
    left, upper = (image.width - box_width) / 2, (image.height - box_height) / 2
    # rounding must not push the far edge out of the picture: Pillow refuses such a box
    return left, upper, min(left + box_width, image.width), min(upper + box_height, image.height)
