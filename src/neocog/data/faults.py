"""What is said of an image that cannot be read: what is wrong with it, and what would do instead."""

from __future__ import annotations

import glob
import os
import re

import numpy as np
from PIL import Image

from neocog.data.formats import foreign
from neocog.errors import DataError

JPEG_SIDE = 65_500
"""Pixels that a side of a JPEG may have, as libjpeg writes them."""

_BYTES_A_PIXEL = 16  # at most, of memory for decoding
_TIFF_TAGS = range(254, 534)
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/|data:\w+/", re.IGNORECASE)  # one slash: a Path makes one of two
_SHOWN = 60  # characters of a URL that holds the image itself
_DOWNLOAD = "download it first, and pass the path of the file, or its bytes"
_INSTEAD = {
    "data": "decode what stands behind its comma with base64.b64decode, and pass the bytes",
    "file": "pass the path that stands behind file://",
}

# how Pillow says that a file is sound, and its feature not known; it has no type of error for that
_UNSUPPORTED = re.compile(
    r"unsupported|not supported|cannot handle|not available|unknown pixel mode|unknown data organization"
    r"|unrecogni[sz]ed (raw|image) mode",
    re.IGNORECASE,
)


class TooManyPixelsError(DataError):
    """An image has more pixels than are decoded."""


def unreadable_file(name: str, error: OSError | ValueError) -> DataError:
    """Return what to say of a file that cannot be opened."""
    if not isinstance(error, OSError):  # a NUL byte, or half of a character, which no path can hold
        return DataError(f"{name!r}: no file can have this name: {error}")
    if isinstance(error, FileNotFoundError):
        return DataError(f"{name}: there is no such file")
    return DataError(f"{name}: the file cannot be read: {error.strerror or error}")


def unreadable_picture(name: str, error: OSError | ValueError) -> DataError:
    """Return what to say of a path that a caller gave for an image, and that leads to none."""
    if _URL.match(name):
        scheme = name.partition(":")[0].lower()
        short = name if len(name) <= _SHOWN or scheme != "data" else f"{name[:_SHOWN]}..."
        return DataError(f"{short}: URLs are not loaded", hint=_INSTEAD.get(scheme, _DOWNLOAD))
    if not name:
        return DataError("an empty text is no path of an image", hint="pass the path of a file")
    found = unreadable_file(name, error)
    hint = found.hint
    if isinstance(error, IsADirectoryError):
        pattern = os.path.join(glob.escape(name), "*.jpg")  # noqa: PTH118 - what a user would write
        hint = f"for the images in it, pass glob.glob({pattern!r}), or run: neocog predict MODEL {name!r}"
    elif isinstance(error, FileNotFoundError) and glob.has_magic(name):
        hint = f"if it is a pattern, pass glob.glob({name!r}), or run: neocog predict MODEL {name!r}"
    return DataError(found.message, hint=hint)


def too_large(name: str, kind: str, size: tuple[int, int], most: int, hint: str) -> TooManyPixelsError:
    """Return what to say of an image with more pixels than are decoded.

    Arguments:
        name: of the image.
        kind: "a PNG", "a progressive JPEG".
        size: (width, height), pixels.
        most: pixels that one of this kind may have.
        hint: what would do.
    """
    width, height = size
    return TooManyPixelsError(
        f"{name}: the image is too large, of {kind} at most {most:,} pixels are decoded, "
        f"got {height} x {width} = {width * height:,}",
        hint=hint,
    )


def closed_image(name: str) -> DataError:
    """Return what to say of a Pillow image that was closed before its pixels were read."""
    return DataError(
        f"{name}: the Pillow image is closed, and its pixels are gone",
        hint="use it inside of its with block, or pass the path",
    )


def unknown(name: str, head: bytes, length: int | None) -> DataError:
    """Return what to say of a file whose first bytes are of no format that is read.

    Arguments:
        name: of the file.
        head: its first bytes.
        length: bytes of it; None where that is not known, as of a stream.
    """
    known = foreign(head)
    if known is not None:
        return DataError(f"{name}: this is {known.kind}", hint=known.hint)
    size = "it begins" if length is None else f"{length:,} bytes that begin"
    return DataError(
        f"{name}: not an image in a known format ({size} with {head[:8]!r})",
        hint="JPEG, PNG, BMP, GIF, PPM, PGM, TIFF and WebP are read; convert others, such as HEIC, to JPEG",
    )


def failed(name: str, form: str, length: int | None, error: Exception, pixels: int) -> Exception:
    """Return what an exception of Pillow means: no memory, a feature that it lacks, a disk that fails, or damage."""
    if isinstance(error, MemoryError) or "out of memory" in str(error) or not _has_memory(pixels):
        return MemoryError(f"{name}: not enough memory for an image of {pixels:,} pixels")
    if isinstance(error, OSError) and error.errno is not None:
        return unreadable_file(name, error)
    told = f"Pillow: {type(error).__name__}: {error}"
    if isinstance(error, Image.DecompressionBombError):
        return DataError(f"{name}: the image is too large to be decoded", details=(told,), hint="make it smaller first")
    if _is_lacking(error):
        return DataError(
            f"{name}: a kind of {form} that is not supported",
            details=(told,),
            hint="open it in an image editor, and save it as JPEG or PNG",
        )
    size = "" if length is None else f" ({length:,} bytes)"
    return DataError(
        f"{name}: the image is damaged or truncated{size}",
        details=(told,),
        hint="copy the file again from its source, or remove it",
    )


def _is_lacking(error: Exception) -> bool:
    """Whether an exception of Pillow says that the file is sound, and Pillow does not know what it needs."""
    if isinstance(error, NotImplementedError | ImportError | NameError) or _UNSUPPORTED.search(str(error)):
        return True
    cause = error.__cause__  # of a TIFF, the number of its compression, or of a tag that is missing
    unknown = cause.args[0] if isinstance(cause, KeyError) and cause.args else None
    return isinstance(unknown, int) and unknown not in _TIFF_TAGS


def _has_memory(pixels: int) -> bool:
    # libjpeg and libwebp call want of memory damage; asking for the memory, without touching it, tells them apart
    try:
        np.empty(pixels * _BYTES_A_PIXEL, np.uint8)
    except MemoryError:
        return False
    return True
