"""Every pixel format of an image file, made grey, RGB or RGBA with 8 bits.

    1, L, I;16, I        grey; 16 bits keep their high byte, which is also what Pillow does to 16-bit colour
    P, CMYK, YCbCr, LAB  by way of RGB
    transparency         composited on white, as on paper: an alpha channel, a transparent palette entry or colour key;
                         large images in bands of rows, since it takes four times the memory of the picture
    F                    refused: a file of floating-point pixels does not say where white is

Grey of RGB is the luma of ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B.
"""

from __future__ import annotations

from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from neocog.errors import DataError, SettingError

_Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.float32]

GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N"})
"""Pillow modes without colour."""

_BAND = 1 << 20  # pixels that are composited at a time
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def to_channels(image: Image.Image, channels: int) -> Image.Image:
    """Convert a Pillow image of any mode to 1 (grey), 3 (RGB) or 4 (RGBA) channels of 8 bits.

    Arguments:
        image: loaded, in any mode.
        channels: 1, 3 or 4.

    Returns:
        An image in mode L, RGB or RGBA; the image itself where nothing is to do.

    Raises:
        DataError: the pixels are floating-point, or integers outside of 0..65535.
        SettingError: `channels` is none of 1, 3 and 4.
    """
    if channels not in _MODES:
        raise SettingError(f"image files give 1 (grey), 3 (RGB) or 4 (RGBA) channels, got channels={channels}")
    if image.mode == "F":
        raise DataError("pixels are floating-point numbers of unknown range", hint="save the image with 8 or 16 bits")
    if image.mode.startswith("I"):
        image = _high_byte(image)
    elif image.mode == "La":
        image = image.convert("LA")  # premultiplied alpha converts to nothing else in Pillow
    mode = _MODES[channels]
    if channels < 4 and image.has_transparency_data:
        return _on_white(image, mode)
    if image.mode == mode:
        return image
    if mode == "L" and image.mode not in ("1", "LA", "RGB"):
        image = image.convert("RGB")  # the others have no direct way to grey in Pillow, or a worse one
    return image.convert(mode)


def _on_white(image: Image.Image, mode: str) -> Image.Image:
    """Composite an image with transparency on white, as L or RGB."""
    if image.width * image.height <= _BAND:
        return _composite(image, mode)
    result = Image.new(mode, image.size)
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        result.paste(_composite(image.crop(box), mode), box)
    return result


def _composite(image: Image.Image, mode: str) -> Image.Image:
    rgba = image.convert("RGBA")
    opaque = Image.alpha_composite(Image.new("RGBA", rgba.size, (255, 255, 255, 255)), rgba).convert("RGB")
    return opaque if mode == "RGB" else opaque.convert(mode)


def array_to_channels(image: _Pixels, channels: int) -> _Pixels:
    """Convert one array image (height, width, c) in [0, 1] or 0..255 to `channels` channels, by the same rules.

    Raises:
        DataError: there is no rule from c to `channels`.
    """
    have = image.shape[2]
    if have == channels:
        return image
    if have == 4 and channels in (1, 3):
        white = 255 if image.dtype == np.uint8 else 1
        alpha = image[:, :, 3:] / np.float32(white)
        image = cast(_Pixels, (image[:, :, :3] * alpha + white * (1 - alpha)).astype(image.dtype))
        have = 3
    if have == channels:
        return image
    if have == 3 and channels == 1:
        return cast(_Pixels, (image @ _LUMA)[:, :, None].astype(image.dtype))
    if have == 1 and channels == 3:
        return cast(_Pixels, np.repeat(image, 3, axis=2))
    raise DataError(
        f"an image of {have} channels cannot become one of {channels}",
        hint="only grey, RGB and RGBA are converted; make the network take as many channels as the images have",
    )


def _high_byte(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    if values.dtype.itemsize > 2 and values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise DataError(
            f"pixels need values in 0..65535, got {values.min()}..{values.max()}",
            hint="save the image with 8 or 16 bits",
        )
    grey = (values >> 8).astype(np.uint8)
    key = image.info.get("transparency")
    if isinstance(key, int):
        grey[values == key] = 255  # PNG's transparent grey, on white
    return Image.fromarray(grey)
