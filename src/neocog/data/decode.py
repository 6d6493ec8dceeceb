"""The one way from an image file to pixels: training, evaluation and prediction all read through here.

Rotation noted in EXIF is applied; of an animation the first frame is taken; pixel formats are made grey or RGB by
`channels.py` and sizes by `resize.py`. The same bytes give the same pixels wherever they come from. For that reason
JPEG's draft mode (decoding at an eighth, a quarter or half of the size) is not used: it changes the pixels with the
size asked for.

What this file will not do: colour profiles (ICC) are ignored, as in torchvision, Keras and timm; damage inside of a
JPEG's compressed data that the decoder can step over is not noticed, a missing end is.
"""

from __future__ import annotations

import contextlib
import io
import os
from importlib import import_module
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from neocog.data.channels import to_channels
from neocog.data.resize import DEFAULT_RESIZE, ImageSize, ResizeRule, image_to_array, resize_image
from neocog.data.walk import IMAGE_EXTENSIONS as IMAGE_EXTENSIONS
from neocog.errors import DataError

ImageSource: TypeAlias = bytes | str | os.PathLike[str] | BinaryIO

MAX_PIXELS = 89_478_485
"""Pixels above which an image is refused: 256 MiB of RGB, where Pillow begins to warn of decompression bombs."""

# Pillow knows dozens more, some of which start other programs (EPS runs Ghostscript); a model server must not
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP", "GIF")
for _plugin in ("Jpeg", "Png", "Ppm", "Bmp", "Tiff", "WebP", "Gif"):
    import_module(f"PIL.{_plugin}ImagePlugin")  # registers the format; left to itself Pillow would import all it has
_ORIENTATION = 0x0112  # EXIF tag
_QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that swap height and width


class Header(NamedTuple):
    """What an image file says of itself before its pixels are decoded; height and width as EXIF turns them."""

    height: int
    width: int
    mode: str


def decode_image(
    source: ImageSource,
    size: ImageSize,
    resize: ResizeRule = DEFAULT_RESIZE,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Read an image and bring it to the size and channels that a network takes.

    Arguments:
        source: a path, the bytes of a file, or a binary file object.
        size: height and width in pixels and channels (1 grey, 3 RGB, 4 RGBA).
        resize: "stretch", "crop" or "pad", see resize.py.
        name: what errors call the image; the path by default.
        max_pixels: an image with more is refused before it is decoded.

    Returns:
        (size.height, size.width, size.channels) uint8.

    Raises:
        DataError: the file is missing, empty, truncated, no image, or too large; the message names it.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (40, 30)).save(file, "PNG")
        >>> decode_image(file.getvalue(), ImageSize(28, 28, 1)).shape
        (28, 28, 1)
    """
    data, name = _bytes_of(source, name)
    image = read_image(data, name=name, max_pixels=max_pixels)
    return fit_image(image, size, resize, name=name)


def fit_image(
    image: Image.Image, size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE, *, name: str = "image"
) -> NDArray[np.uint8]:
    """Bring an image from `read_image` to the size and channels that a network takes; the second half of
    `decode_image`.

    Returns:
        (size.height, size.width, size.channels) uint8.

    Raises:
        DataError: the pixel format is not supported.
    """
    try:
        converted = to_channels(image, size.channels)
    except DataError as error:
        raise DataError(f"{name}: {error.message}", hint=error.hint) from None
    return image_to_array(resize_image(converted, size.height, size.width, resize))


def read_image(source: ImageSource, *, name: str | None = None, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read an image in its own size and mode, upright (EXIF applied), the first frame of an animation.

    Arguments:
        source: a path, the bytes of a file, or a binary file object.
        name: what errors call the image; the path by default.
        max_pixels: an image with more is refused before it is decoded.

    Returns:
        A loaded Pillow image, no longer tied to a file.

    Raises:
        DataError: the file is missing, empty, truncated, no image, or too large; the message names it.
    """
    data, name = _bytes_of(source, name)
    image = _open(io.BytesIO(data), name, max_pixels)
    try:
        image.load()
    except Exception as error:
        raise _damaged(name, len(data), error) from error
    # a damaged EXIF block says nothing about rotation; the pixels are there, as browsers show them
    with contextlib.suppress(Exception):
        ImageOps.exif_transpose(image, in_place=True)
    return image


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read height, width and Pillow mode of a file without reading its pixels.

    Raises:
        DataError: the file is missing, empty, no image, or too large.
    """
    try:
        with Path(path).open("rb") as file:
            image = _open(file, str(path), MAX_PIXELS)
            turned = False
            with contextlib.suppress(Exception):  # as in read_image
                turned = image.getexif().get(_ORIENTATION) in _QUARTER_TURNS
    except DataError:
        raise
    except (OSError, ValueError) as error:
        raise unreadable_file(str(path), error) from error
    height, width = (image.width, image.height) if turned else (image.height, image.width)
    return Header(height, width, image.mode)


def _open(file: BinaryIO, name: str, max_pixels: int) -> Image.Image:
    """Open without decoding; Pillow's plugins raise nearly every built-in exception on damaged files."""
    start = file.read(8)
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    if not length:
        raise DataError(f"{name}: the file is empty (0 bytes), an image was needed")
    try:
        image = Image.open(file, formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise DataError(
            f"{name}: the image is too large, at most {max_pixels:,} pixels are decoded",
            details=(f"Pillow: {error}",),
            hint="make it smaller first",
        ) from error
    except UnidentifiedImageError as error:
        raise DataError(
            f"{name}: not an image in a known format ({length:,} bytes that begin with {start!r})",
            hint="JPEG, PNG, BMP, GIF, PPM, PGM, TIFF and WebP are read; convert others, such as HEIC",
        ) from error
    except Exception as error:
        raise _damaged(name, length, error) from error
    if image.width * image.height > max_pixels:
        raise DataError(
            f"{name}: the image is too large, at most {max_pixels:,} pixels are decoded, "
            f"got {image.height} x {image.width} = {image.width * image.height:,}",
            hint="make it smaller first",
        )
    return image


def _damaged(name: str, length: int, error: Exception) -> DataError:
    return DataError(
        f"{name}: the image is damaged or truncated ({length:,} bytes)",
        details=(f"Pillow: {type(error).__name__}: {error}",),
        hint="copy the file again from its source, or remove it",
    )


def unreadable_file(name: str, error: OSError | ValueError) -> DataError:
    if isinstance(error, ValueError):  # a NUL byte, which no path can hold
        return DataError(f"{name!r}: no file can have this name: {error}")
    if isinstance(error, FileNotFoundError):
        return DataError(f"{name}: there is no such file")
    return DataError(f"{name}: the file cannot be read: {error.strerror or error}")


def _bytes_of(source: ImageSource, name: str | None) -> tuple[bytes, str]:
    if isinstance(source, bytes):
        return source, name or "image"
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        name = name or str(path)
        try:
            return path.read_bytes(), name
        except (OSError, ValueError) as error:
            raise unreadable_file(name, error) from error
    return source.read(), name or str(getattr(source, "name", "image"))
