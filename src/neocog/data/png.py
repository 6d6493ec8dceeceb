"""The colour key of a PNG (its tRNS chunk), which Pillow reads rightly for 8 and 16 bits of grey and 8 of RGB only.

A grey or RGB PNG may name one colour that stands for transparency, as a sample of the file's own depth. Pillow brings
samples of 2 and 4 bits (and in old versions of 1) to 0..255 and leaves the key as it was; of RGB with 16 bits it keeps
the high bytes, and the key has 16. So grey keys are scaled here like the samples. For RGB with 16 bits the file is
decoded twice, once for the high bytes and once for the low ones, since a colour that only shares its high bytes with
the key is not transparent.

Keys beyond what the depth can hold count modulo its range, as in libpng.

Source: Portable Network Graphics (PNG) Specification, third edition, section 11.3.1.1.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

_BAND = 1 << 20  # pixels compared at a time
_GREY = {
    "1": (0x01, 255),
    "L;2": (0x03, 85),
    "L;4": (0x0F, 17),
    "L": (0xFF, 1),
}  # raw mode: the key's bits, and what scales a sample
_HIGH_BYTES, _LOW_BYTES = "RGB;16B", "RGB;16L"  # what Pillow takes of big-endian samples when it calls them so


def mended_key(image: Image.Image) -> object:
    """Return the colour key of an opened image in the range of its pixels, or whatever else Pillow calls transparency.

    Only for a PNG that is not loaded yet is it known how its samples lie in the file; others keep what they have.
    """
    key, raw = image.info.get("transparency"), _raw_mode(image)
    if isinstance(key, int) and raw in _GREY:
        mask, scale = _GREY[raw]
        return (key & mask) * scale
    if isinstance(key, tuple) and raw == "RGB":
        return tuple(sample & 0xFF for sample in key)
    return key


def has_wide_key(image: Image.Image) -> bool:
    """Whether an opened PNG has a colour key of three times 16 bits; before it is loaded."""
    return isinstance(image.info.get("transparency"), tuple) and _raw_mode(image) == _HIGH_BYTES


def apply_wide_key(image: Image.Image, file: BinaryIO) -> None:
    """Make alpha of a colour key of three times 16 bits.

    Arguments:
        image: loaded; it becomes RGBA.
        file: the one that it was loaded from.
    """
    key = np.array(image.info.pop("transparency"), np.uint16)
    file.seek(0)
    low = PngImagePlugin.PngImageFile(file)
    codec, extents, offset, _ = low.tile[0]
    make: Any = getattr(type(low.tile[0]), "_make", tuple)  # Pillow before 11 has plain tuples there
    low.tile = [make((codec, extents, offset, _LOW_BYTES))]
    low.load()
    alpha = np.empty((image.height, image.width), np.uint8)
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        match = (np.asarray(image.crop(box)) == key >> 8) & (np.asarray(low.crop(box)) == key & 0xFF)
        alpha[box[1] : box[3]] = np.where(match.all(axis=2), 0, 255)
    image.putalpha(Image.fromarray(alpha))


def _raw_mode(image: Image.Image) -> str:
    """Return how the samples lie in the file, such as "L;4"; nothing once an image is loaded, or where it is no PNG."""
    tiles = getattr(image, "tile", None)
    return str(tiles[0][3]) if tiles and image.format == "PNG" else ""
