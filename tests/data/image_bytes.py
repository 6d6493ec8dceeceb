"""Images of every format as bytes, and such whose headers say more than there is."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(form: str, size: tuple[int, int] = (40, 30), **options) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def jpeg_that_says(height: int, width: int, **options) -> bytes:
    """Return a small JPEG whose header tells another size."""
    data = bytearray(encoded("JPEG", **options))
    place = next(data.index(marker) for marker in (b"\xff\xc0", b"\xff\xc2") if marker in data)
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_in_several_scans(height: int, width: int) -> bytes:
    """Return a JPEG whose first scan holds one component."""
    data = bytearray(jpeg_that_says(height, width))
    place = data.index(b"\xff\xda")
    data[place : place + 14] = b"\xff\xda\0\x08\x01" + data[place + 5 : place + 7] + b"\0\x3f\0"
    return bytes(data)


def png_that_says(height: int, width: int) -> bytes:
    data = bytearray(encoded("PNG"))
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


def webp_that_says(height: int, width: int) -> bytes:
    body = (
        b"VP8X"
        + struct.pack("<I", 10)
        + bytes(4)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


class Stream(io.RawIOBase):
    """A stream that gives a few bytes at a time, for ever if it has no end, and cannot go back."""

    def __init__(self, data: bytes, *, endless: bool = False) -> None:
        self.data, self.endless, self.given = io.BytesIO(data), endless, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "all of a stream must not be asked for"
        found = self.data.read(min(size, 100)) or (bytes(size) if self.endless else b"")
        self.given += len(found)
        return found
