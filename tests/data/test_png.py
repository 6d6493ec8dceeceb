"""Colour keys of PNG files: every reader that follows the specification shows their colour as transparent."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from neocog.data import png
from neocog.data.decode import decode_image, read_header, read_image
from neocog.data.resize import ImageSize


def write(samples, depth: int, colour: int, key: bytes | None, palette: bytes | None = None) -> bytes:
    """Write a PNG by hand: samples (h, w, c) of `depth` bits, colour type (0 grey, 2 RGB, 3 palette), tRNS chunk."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width, _ = samples.shape
    bits = (samples.astype(np.uint32)[..., None] >> np.arange(depth - 1, -1, -1)) & 1
    rows = np.packbits(bits.astype(np.uint8).reshape(height, -1), axis=1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
        + (chunk(b"PLTE", palette) if palette else b"")
        + (chunk(b"tRNS", key) if key else b"")
        + chunk(b"IDAT", zlib.compress(raw))
        + chunk(b"IEND", b"")
    )


def halves(key, other) -> np.ndarray:
    """Return samples (8, 8, c): the left half is the key's colour, the right half another."""
    samples = np.empty((8, 8, len(key)), np.uint32)
    samples[:, :4], samples[:, 4:] = key, other
    return samples


@pytest.mark.parametrize(
    ("depth", "key", "shown"),
    [(1, 1, 255), (2, 1, 85), (2, 2, 170), (2, 3, 255), (4, 7, 119), (4, 10, 170), (8, 119, 119), (8, 1, 1)],
)
def test_grey_of_every_depth_has_a_transparent_colour(depth, key, shown):
    data = write(halves([key], [0]), depth, 0, struct.pack(">H", key))
    assert decode_image(data, ImageSize(8, 8, 1))[3, :, 0].tolist() == [255] * 4 + [0] * 4
    assert decode_image(data, ImageSize(8, 8, 3))[3, :, 1].tolist() == [255] * 4 + [0] * 4
    rgba = decode_image(data, ImageSize(8, 8, 4))
    assert (rgba[:, :4] == [shown, shown, shown, 0]).all()
    assert (rgba[:, 4:] == [0, 0, 0, 255]).all()
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(decode_image(image, ImageSize(8, 8, 4)), rgba)
        assert image.info["transparency"] in (key, 255)  # the caller's own stays as Pillow made it


@pytest.mark.parametrize("depth", [2, 4, 8])
def test_a_key_of_black_and_one_that_no_pixel_has(depth):
    black = write(halves([0], [1]), depth, 0, struct.pack(">H", 0))
    one = 255 // ((1 << depth) - 1)
    assert decode_image(black, ImageSize(8, 8, 1))[0, :, 0].tolist() == [255] * 4 + [one] * 4
    absent = write(halves([0], [1]), depth, 0, struct.pack(">H", 2))
    assert decode_image(absent, ImageSize(8, 8, 1))[0, :, 0].tolist() == [0] * 4 + [one] * 4


def test_bits_of_a_key_beyond_the_depth_do_not_count():
    for depth, key in ((2, 0x4101), (4, 0x2201), (8, 0xFF01)):
        data = write(halves([1], [0]), depth, 0, struct.pack(">H", key))
        assert decode_image(data, ImageSize(8, 8, 1))[0, :, 0].tolist() == [255] * 4 + [0] * 4
    data = write(halves([1, 2, 3], [0, 0, 0]), 8, 2, struct.pack(">HHH", 0x101, 0x202, 0x303))
    assert decode_image(data, ImageSize(8, 8, 1))[0, :, 0].tolist() == [255] * 4 + [0] * 4


def test_grey_of_sixteen_bits_needs_all_of_them():
    samples = halves([0x7777], [0])
    samples[0, 0] = 0x7778
    grey = decode_image(write(samples, 16, 0, struct.pack(">H", 0x7777)), ImageSize(8, 8, 1))
    assert grey[0, :, 0].tolist() == [0x77, 255, 255, 255, 0, 0, 0, 0]


def test_rgb_of_eight_bits_has_a_transparent_colour():
    data = write(halves((10, 20, 30), (200, 0, 0)), 8, 2, struct.pack(">HHH", 10, 20, 30))
    assert (decode_image(data, ImageSize(8, 8, 3))[:, :4] == 255).all()
    assert (decode_image(data, ImageSize(8, 8, 3))[:, 4:] == [200, 0, 0]).all()


@pytest.mark.parametrize("band", [1, 17, 1 << 20])
@pytest.mark.parametrize(
    ("key", "other", "shown"),
    [
        ((0xFFFF, 0xFFFF, 0xFFFF), (0, 0, 0), (0, 0, 0)),
        ((0x0A0B, 0x1415, 0x1E1F), (0xC800, 0, 0), (200, 0, 0)),
        ((0, 0, 0), (0xC800, 0, 0), (200, 0, 0)),
        ((0x0A0B, 0x1415, 0x1E1F), (0x0A0B, 0x1415, 0x1E20), (10, 20, 30)),  # the same high bytes
        ((0x0A0A, 0x0A0A, 0x0A0A), (0x0B0A, 0x0A0A, 0x0A0A), (11, 10, 10)),  # the same low bytes
    ],
)
def test_rgb_of_sixteen_bits_has_a_transparent_colour_and_no_near_ones(tmp_path, monkeypatch, key, other, shown, band):
    monkeypatch.setattr(png, "_BAND", band)
    path = tmp_path / "wide.png"
    path.write_bytes(write(halves(key, other), 16, 2, struct.pack(">HHH", *key)))
    pixels = decode_image(path, ImageSize(8, 8, 3))
    assert (pixels[:, :4] == 255).all()
    assert (pixels[:, 4:] == shown).all()
    rgba = decode_image(path, ImageSize(8, 8, 4))
    assert (rgba[:, :, 3] == [0] * 4 + [255] * 4).all()
    assert (rgba[:, 4:, :3] == shown).all()
    assert read_header(path).mode == read_image(path).mode == "RGBA"


def test_a_pillow_image_of_sixteen_bits_has_near_colours_transparent_too():
    data = write(halves((0x0A0B, 0x1415, 0x1E1F), (200 << 8, 0, 0)), 16, 2, struct.pack(">HHH", 0x0A0B, 0x1415, 0x1E1F))
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(decode_image(image, ImageSize(8, 8, 3)), decode_image(data, ImageSize(8, 8, 3)))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_of_every_depth_have_transparent_entries(depth):
    colours = bytes([200, 0, 0, 10, 20, 30])
    data = write(halves([1], [0]), depth, 3, b"\xff\x00", colours)
    assert (decode_image(data, ImageSize(8, 8, 3))[0] == [[255] * 3] * 4 + [[200, 0, 0]] * 4).all()
    half = write(halves([1], [0]), depth, 3, b"\xff\x80", colours)
    assert (decode_image(half, ImageSize(8, 8, 4))[0] == [[10, 20, 30, 128]] * 4 + [[200, 0, 0, 255]] * 4).all()


def test_without_a_key_nothing_is_transparent():
    assert (decode_image(write(halves([3], [0]), 2, 0, None), ImageSize(8, 8, 4))[:, :, 3] == 255).all()
    wide = write(halves((0xFFFF,) * 3, (0, 0, 0)), 16, 2, None)
    assert read_image(wide).mode == "RGB"
