"""The one way from an image to pixels: training, evaluation and prediction all read through here.

Rotation noted in EXIF is applied; of an animation the first frame is taken; pixel formats are made grey or RGB by
`channels.py` and sizes by `resize.py`. The same bytes give the same pixels wherever they come from.

Limits. A file is told by its first bytes (`formats.py`) before more of it is read, and holds at most MAX_BYTES. Images
of more than MAX_PIXELS are refused, because of the memory that they take, with two exceptions: WebP, whose decoder
takes twice as much for a pixel, ends at half of that. And a JPEG that lies in its file in one scan, as cameras write
them, may have MAX_JPEG_PIXELS: above MAX_PIXELS it is decoded at half of its height and width, in a quarter of the
memory, and is from then on an image of that size. So is a Pillow image of one, if it is not loaded yet. JPEG's other
scales, and this one for smaller images, are not used: they would change the pixels with the size asked for.

What this file will not do: colour profiles (ICC) are ignored, as in torchvision, Keras and timm; damage inside of a
JPEG's compressed data that the decoder can step over is not noticed, a missing end is.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import Any, BinaryIO, NamedTuple, cast, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from neocog.data.arrays import check_image
from neocog.data.channels import to_channels
from neocog.data.faults import JPEG_SIDE, closed_image, failed, too_large, unknown
from neocog.data.faults import unreadable_file as unreadable_file
from neocog.data.formats import HEAD, count_scans, is_rare_jpeg, open_as, recognise, webp_size
from neocog.data.image_source import ImageSource, file_of, name_of
from neocog.data.png import apply_wide_key, has_wide_key, mended_key
from neocog.data.resize import DEFAULT_RESIZE, Images, ImageSize, ResizeRule, image_to_array, resize_array, resize_image
from neocog.errors import DataError, NeocogError

MAX_PIXELS = 89_478_485
"""Pixels above which an image is refused, or decoded at half of its size: 256 MiB of RGB."""

MAX_JPEG_PIXELS = 350_000_000
"""Pixels of a JPEG in one scan: at half of its size they are within MAX_PIXELS."""

MAX_BYTES = 1 << 29
"""Bytes that an image file may hold: six for each of MAX_PIXELS, which is RGB of 16 bits, uncompressed."""

_WEBP_SHARE = 2  # the decoder of WebP holds two canvases of four bytes a pixel beside the image and a copy of it
_SCANS = 100  # of a progressive JPEG, ten times what encoders write
_ORIENTATION = 0x0112  # EXIF tag
_QUARTER_TURNS = (5, 6, 7, 8)  # EXIF orientations that swap height and width
_TURNS = range(2, 9)  # those that change anything
_SPELT = {"WEBP": "WebP"}  # as its authors write it


class Header(NamedTuple):
    """What an image file says of itself before its pixels are decoded: the size and mode that `read_image` gives."""

    height: int
    width: int
    mode: str


@overload
def decode_image(
    source: ImageSource | Image.Image,
    size: ImageSize,
    resize: ResizeRule = DEFAULT_RESIZE,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]: ...


@overload
def decode_image(
    source: NDArray[Any],
    size: ImageSize,
    resize: ResizeRule = DEFAULT_RESIZE,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Images: ...


def decode_image(
    source: ImageSource | Image.Image | NDArray[Any],
    size: ImageSize,
    resize: ResizeRule = DEFAULT_RESIZE,
    *,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Images:
    """Read an image and bring it to the size and channels that a network takes.

    Arguments:
        source: a path ("~" is understood), the bytes of a file, a binary file object, a Pillow image, or an array
            (H, W), (H, W, C) or (C, H, W), uint8 or floating-point in [0, 1].
        size: height and width in pixels and channels (1 grey, 3 RGB, 4 RGBA).
        resize: "stretch", "crop" or "pad", see resize.py.
        name: what errors call the image; the path by default.
        max_pixels: an image that would be decoded to more is refused before that.

    Returns:
        (size.height, size.width, size.channels) uint8; float32 where an array was floating-point.

    Raises:
        DataError: the file is missing, empty, truncated, no image, or too large; the message names it.
        MemoryError: there is not enough of it.

    Example:
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (40, 30)).save(file, "PNG")
        >>> decode_image(file.getvalue(), ImageSize(28, 28, 1)).shape
        (28, 28, 1)
    """
    if isinstance(source, np.ndarray):
        try:
            return resize_array(check_image(source), size, resize)
        except DataError as error:
            raise DataError(f"{name or 'image'}: {error.message}", details=error.details, hint=error.hint) from None
    name = name or name_of(source)
    image = read_image(source, name=name, max_pixels=max_pixels)
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
        return image_to_array(resize_image(to_channels(image, size.channels), size.height, size.width, resize))
    except DataError as error:
        raise DataError(f"{name}: {error.message}", hint=error.hint) from None
    except (NeocogError, MemoryError):
        raise
    except Exception as error:  # a damaged palette or colour key shows here only
        raise failed(name, image.format or image.mode, None, error, image.width * image.height) from error


def read_image(
    source: ImageSource | Image.Image, *, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> Image.Image:
    """Read an image in its own size and mode, upright (EXIF applied), the first frame of an animation.

    Arguments:
        source: a path ("~" is understood), the bytes of a file, a binary file object, or a Pillow image (its present
            frame).
        name: what errors call the image; the path by default.
        max_pixels: an image that would be decoded to more is refused before that.

    Returns:
        A loaded Pillow image, no longer tied to a file. A JPEG of more than MAX_PIXELS has half of its height and
        width.

    Raises:
        DataError: the file is missing, empty, truncated, no image, or too large; the message names it.
        MemoryError: there is not enough of it.
    """
    name = name or name_of(source)
    if isinstance(source, Image.Image):
        return _taken(source, name, max_pixels)
    with closing(file_of(source, name, MAX_BYTES)) as file:
        return read_open_image(file, name, max_pixels)


def read_header(path: str | os.PathLike[str]) -> Header:
    """Read the height, width and Pillow mode that `read_image` gives, without reading the pixels.

    Raises:
        DataError: the file is missing, empty, no image, or too large.
    """
    name = name_of(path)
    with closing(file_of(path, name, MAX_BYTES)) as file:
        return read_open_header(file, name)


def read_open_header(file: BinaryIO, name: str) -> Header:
    """Read what `read_header` does, from a file that is open at its start, can be positioned, and stays open.

    Raises:
        DataError: the file is empty, no image, or too large; the message calls it `name`.
    """
    image, _, _ = _open(file, name, MAX_PIXELS)
    mode = "RGBA" if has_wide_key(image) else image.mode
    turned = _orientation(image) in _QUARTER_TURNS
    height, width = (image.width, image.height) if turned else (image.height, image.width)
    return Header(height, width, mode)


def read_open_image(file: BinaryIO, name: str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read an image as `read_image` does, from a file that is open at its start, can be positioned, and stays open.

    Raises:
        DataError: the file is empty, truncated, no image, or too large; the message calls it `name`.
        MemoryError: there is not enough of it.
    """
    image, form, length = _open(file, name, max_pixels)
    wide_key = has_wide_key(image)
    try:
        image.load()
        if wide_key:
            apply_wide_key(image, file)
    except Exception as error:
        rare = form == "JPEG" and not isinstance(error, MemoryError) and is_rare_jpeg(file)
        told = NotImplementedError("a lossless or hierarchical JPEG") if rare else error
        raise failed(name, form, length, told, image.width * image.height) from error
    vars(image).pop("_decoder", None)  # WebP's, with eight bytes a pixel of its own; it has no more to give
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # a damaged EXIF block tells nothing of rotation; the pixels are there
        pass
    return image


def _taken(image: Image.Image, name: str, max_pixels: int) -> Image.Image:
    """Return a caller's Pillow image as `read_image` would from its file; the caller's own stays as it is.

    Of a PNG with a colour key of 2, 4 or 3 x 16 bits Pillow does not keep all that is needed. The first two need an
    image that is not loaded yet; of the last only high bytes are compared: near colours are transparent as well.
    """
    pixels = image.width * image.height
    if not pixels:
        raise DataError(f"{name}: an image of at least 1 x 1 pixels was needed, got {image.height} x {image.width}")
    unread = bool(getattr(image, "tile", None))  # Pillow reads the pixels when they are first asked for
    file: BinaryIO | None = getattr(image, "fp", None) if unread else None
    if unread and (file is None or getattr(file, "closed", False)):
        raise closed_image(name)
    if file is not None and pixels > MAX_PIXELS and image.format in ("JPEG", "MPO") and not image.tell():
        file.seek(0)  # where Pillow found it
        return read_open_image(file, name, max_pixels)
    if pixels > max_pixels:
        kind, hint = "a Pillow image", "make it smaller"
        if (
            image.format in ("JPEG", "MPO")
            and MAX_PIXELS < pixels <= MAX_JPEG_PIXELS
            and "progressive" not in image.info
        ):
            kind, hint = "a Pillow image that is loaded", "pass its path, or make it smaller"
        raise too_large(name, kind, image.size, max_pixels, hint)
    try:
        key = mended_key(image)
        if isinstance(key, tuple) and max(key, default=0) > 0xFF:
            key = tuple(sample >> 8 for sample in key)
        image.load()
        if key != image.info.get("transparency"):
            image = image.copy()
            image.info["transparency"] = key
    except Exception as error:
        if isinstance(error, ValueError) and "closed" in str(error):
            raise closed_image(name) from error
        raise failed(name, image.format or image.mode, None, error, pixels) from error
    if _orientation(image) not in _TURNS:
        return image
    try:
        return ImageOps.exif_transpose(image)
    except MemoryError:
        raise
    except Exception:  # as in _read
        return image


class _Undescribed:
    """A file whose descriptor Pillow does not see.

    It would hand it to libtiff, which maps the file into memory: one that is truncated meanwhile kills the process.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


def _open(file: BinaryIO, name: str, max_pixels: int) -> tuple[Image.Image, str, int]:
    """Open without decoding: the image, its format, and the bytes of the file.

    Pillow's plugins raise nearly every built-in exception on damaged files.
    """
    try:
        head = file.read(HEAD)
        length = file.seek(0, os.SEEK_END)
        file.seek(0)
    except OSError as error:
        raise unreadable_file(name, error) from error
    if not length:
        raise DataError(f"{name}: the file is empty (0 bytes), not an image")
    form = recognise(head)
    if form is None:
        raise unknown(name, head, length)
    if length > MAX_BYTES:
        found = "more" if length == MAX_BYTES + 1 else f"{length:,}"  # of a stream no more was read
        raise DataError(f"{name}: an image file may hold {MAX_BYTES:,} bytes, found {found}")
    most = max_pixels // _WEBP_SHARE if form == "WEBP" else max_pixels
    if form == "WEBP" and (told := webp_size(head)) is not None and told[0] * told[1] > most:
        raise _too_large(name, "a WebP", told, most, max_pixels)
    try:
        image = open_as(form, cast(BinaryIO, _Undescribed(file)) if form == "TIFF" else file)
    except Exception as error:
        raise failed(name, form, length, error, 0) from error
    width, height = image.size
    kind = f"a {_SPELT.get(form, form)}"
    if form == "JPEG" and width * height > MAX_PIXELS:
        if _in_one_scan(image, file):
            image.draft(None, (width // 2, height // 2))
            kind, most = "a baseline JPEG", min(4 * max_pixels, MAX_JPEG_PIXELS)
        else:
            kind = "a progressive JPEG" if "progressive" in image.info else "a JPEG in several scans"
    if width * height > most:
        raise _too_large(name, kind, (width, height), most, max_pixels)
    if form == "JPEG" and "progressive" in image.info and (scans := count_scans(file)) > _SCANS:
        raise DataError(
            f"{name}: a progressive JPEG may have {_SCANS} scans, found {scans:,}",
            hint="save it again with an image editor",
        )
    if "transparency" in image.info:
        image.info["transparency"] = mended_key(image)
    return image, form, length


def _in_one_scan(image: Image.Image, file: BinaryIO) -> bool:
    """Whether a JPEG that was just opened has all components in its first scan, so that no more than some rows of it
    need memory before they are scaled; a progressive one is decoded whole first, whatever the scale.
    """
    components = getattr(image, "layers", 0)
    # the start of scan (SOS), which was read last: marker, length, components, two bytes for each of them, three more
    scan = bytes([0xFF, 0xDA, 0, 6 + 2 * components, components])
    place = file.tell() - (5 + 2 * components + 3)
    if place < 0 or "progressive" in image.info:
        return False
    file.seek(place)
    return file.read(len(scan)) == scan


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(_ORIENTATION)
    except MemoryError:
        raise
    except Exception:  # as in _read
        return None


def _too_large(name: str, kind: str, size: tuple[int, int], most: int, max_pixels: int) -> DataError:
    fits = max(size) <= JPEG_SIDE and size[0] * size[1] <= min(4 * max_pixels, MAX_JPEG_PIXELS)
    larger = fits and size[0] * size[1] > MAX_PIXELS  # which is where a JPEG is decoded at half of its size
    would = larger or (fits and kind == "a WebP" and size[0] * size[1] <= max_pixels)
    hint = "save it as a baseline JPEG, or make it smaller" if would and "baseline" not in kind else "make it smaller"
    return too_large(name, kind, size, most, hint)
