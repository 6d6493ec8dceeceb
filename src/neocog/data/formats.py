"""What the first bytes of a file tell: which image format it has, or what it is instead.

Formats are chosen here and not by Pillow: it knows dozens more, some of which start other programs (EPS runs
Ghostscript), and a model server must not. Its `Image.open` also warns and refuses by a limit of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

HEAD = 64
"""Bytes of a file's start that the functions here want to see."""


class Foreign(NamedTuple):
    """What a file is that is not read, to stand behind "this is"; what to do; its format, if it is a picture."""

    kind: str
    hint: str
    format: str | None = None


_READERS: dict[str, Callable[[BinaryIO], Image.Image]] = {
    "JPEG": JpegImagePlugin.JpegImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "PPM": PpmImagePlugin.PpmImageFile,
}
FORMATS = frozenset(_READERS)
"""Names of the formats that are read."""

_STARTS: dict[bytes, str] = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    # the last two are written by mistake, and understood
    **dict.fromkeys((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*"), "TIFF"),
}
_SEGMENTS = 1000  # of a JPEG that are looked at
_START_OF_SCAN = 0xDA
_BLOCK = 1 << 20  # bytes looked through at a time
_RARE_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF)
# Two letters are a weak sign, text may begin like that: a BMP goes on with the size of its header, a PPM with a number.
_BMP = re.compile(rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL)
_PPM = re.compile(rb"P[1-6f](#|\s+[#0-9])")

_CONVERT = "convert it to JPEG or PNG first, such as with ImageMagick: magick {} photo.jpg"
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1")
_FOREIGN: dict[bytes, Foreign] = {
    b"\0\0\0\x0cJXL \r\n\x87\n": Foreign("a JPEG XL image, which is not read", _CONVERT.format("photo.jxl"), "JPEG XL"),
    b"\xff\x0a": Foreign("a JPEG XL image, which is not read", _CONVERT.format("photo.jxl"), "JPEG XL"),
    b"\0\0\0\x0cjP  \r\n\x87\n": Foreign(
        "a JPEG 2000 image, which is not read", _CONVERT.format("photo.jp2"), "JPEG 2000"
    ),
    b"\xff\x4f\xff\x51": Foreign("a JPEG 2000 image, which is not read", _CONVERT.format("photo.j2k"), "JPEG 2000"),
    b"8BPS": Foreign("a Photoshop document, which is not read", _CONVERT.format("photo.psd"), "Photoshop"),
    b"%PDF": Foreign("a PDF document, which is not read", "save its pages as JPEG or PNG first"),
    b"version https://git-lfs": Foreign("a Git LFS pointer, not the image itself", "fetch the images: git lfs pull"),
}


def recognise(head: bytes) -> str | None:
    """Return the name of the format that a file with these first bytes has, or None where it is not read.

    >>> recognise(b"GIF89a..."), recognise(b"hello")
    ('GIF', None)
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if _BMP.match(head):
        return "BMP"
    if _PPM.match(head):
        return "PPM"
    return next((name for start, name in _STARTS.items() if head.startswith(start)), None)


def foreign(head: bytes) -> Foreign | None:
    """Return what a file with these first bytes is, where that is known and not read.

    >>> foreign(b"\\0\\0\\0\\x18ftypheic\\0\\0\\0\\0mif1heic").kind
    'a HEIC image, which is not read'
    """
    if head[4:8] == b"ftyp":
        # the box: its length, "ftyp", the main brand, a version, and brands that it is compatible with
        box = head[8 : max(16, int.from_bytes(head[:4], "big"))]
        brands = [box[i : i + 4] for i in (0, *range(8, len(box) - 3, 4))]
        if b"avif" in brands or b"avis" in brands:
            return Foreign("an AVIF image, which is not read", _CONVERT.format("photo.avif"), "AVIF")
        if any(brand in _HEIF for brand in brands):
            return Foreign("a HEIC image, which is not read", _CONVERT.format("photo.heic"), "HEIC")
        return None
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return Foreign(
            "a web page, not an image", "a download that failed leaves one: open it in a browser, and download again"
        )
    if start.startswith((b"<svg", b"<?xml")):
        return Foreign("an SVG drawing or other XML, which is not read", "export it as PNG first")
    return next((kind for start, kind in _FOREIGN.items() if head.startswith(start)), None)


def open_as(form: str, file: BinaryIO) -> Image.Image:
    """Open a file in a format that `recognise` told, without decoding it.

    Raises:
        Exception: nearly every built-in one, where the file is damaged.
    """
    return _READERS[form](file)


def is_rare_jpeg(file: BinaryIO) -> bool:
    """Whether a JPEG is coded by a process that decoders leave out: lossless, differential or hierarchical.

    They call it damage. Source: ITU-T T.81, table B.1.
    """
    file.seek(2)
    for _ in range(_SEGMENTS):
        segment = file.read(4)
        if len(segment) < 4 or segment[0] != 0xFF or segment[1] == _START_OF_SCAN:
            break
        if segment[1] in _RARE_FRAMES:
            return True
        file.seek(int.from_bytes(segment[2:], "big") - 2, 1)
    return False


def count_scans(file: BinaryIO) -> int:
    """Return how many scans a JPEG may have; within one, no byte of its data looks like the start of another.

    A progressive JPEG of a few kilobytes can have thousands, each of which passes over all of its pixels.
    """
    file.seek(0)
    start, found, last = bytes([0xFF, _START_OF_SCAN]), 0, b""
    while block := file.read(_BLOCK):
        found += (last + block).count(start)
        last = block[-1:]
    return found


def webp_size(head: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP by its first bytes; Pillow would take memory for its pixels to tell them."""
    kind = head[12:16]
    if kind == b"VP8X" and len(head) >= 30:
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8 " and len(head) >= 30:
        return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
    if kind == b"VP8L" and len(head) >= 25:
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return None
