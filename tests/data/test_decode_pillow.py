"""Pillow images and arrays give the pixels that their files would."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from data.image_bytes import encoded
from neocog.data import decode
from neocog.data.decode import decode_image, read_image
from neocog.data.resize import ImageSize
from neocog.errors import DataError

SIZE = ImageSize(10, 12, 3)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are told to Linux")


# -- images that are there already


@pytest.mark.parametrize("loaded", [True, False])
@pytest.mark.parametrize("orientation", [1, 6, 3])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_pillow_image_gives_the_pixels_of_its_file_and_stays_as_it_is(tmp_path, form, orientation, loaded):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo"
    path.write_bytes(encoded(form, (40, 30), exif=exif))
    with Image.open(path) as image:
        if loaded:
            image.load()
        size, noted = image.size, image.info.get("exif")
        assert np.array_equal(decode_image(image, SIZE), decode_image(path, SIZE))
        if loaded:
            assert (image.size, image.info.get("exif")) == (size, noted)


def test_a_pillow_image_without_a_file_is_taken_and_one_that_is_too_large_refused():
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    assert (decode_image(image, ImageSize(2, 2, 3)) == 255).all()
    with pytest.raises(
        DataError, match=r"image: the image is too large, of a Pillow image at most 10 pixels are decoded, got 4 x 4"
    ):
        decode_image(image, ImageSize(2, 2, 3), max_pixels=10)
    with pytest.raises(DataError, match="floating-point"):
        decode_image(Image.new("F", (4, 4)), ImageSize(2, 2, 3))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("form", ["JPEG", "MPO"])
def test_a_large_jpeg_gives_the_same_pixels_as_an_open_pillow_image(tmp_path, monkeypatch, form, orientation):
    monkeypatch.setattr(decode, "MAX_PIXELS", 10_000)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "photo.jpg"
    frames = {"save_all": True, "append_images": [Image.new("RGB", (201, 150))]} if form == "MPO" else {}
    path.write_bytes(encoded(form, (201, 150), quality=95, exif=exif, **frames))
    want = read_image(path)
    with Image.open(path) as image:
        assert image.format == form
        for _ in range(2):  # asking leaves it as it was
            got = read_image(image, max_pixels=10_000)
            assert got.size == want.size == ((101, 75) if orientation == 1 else (75, 101))
            assert np.array_equal(np.asarray(got), np.asarray(want))
        assert image.size == (201, 150)
        assert np.asarray(image).shape == (150, 201, 3)
        with pytest.raises(
            DataError, match=r"of a Pillow image that is loaded at most 10,000 .*\n  hint: pass its path"
        ):
            read_image(image, max_pixels=10_000)
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        assert np.array_equal(decode_image(image, SIZE), decode_image(path, SIZE))


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_pillow_image_of_a_file_object_that_can_do_little_is_taken(monkeypatch, form):
    class File:
        """What Pillow asks for, and no more."""

        def __init__(self, data: bytes) -> None:
            file = io.BytesIO(data)
            self.read, self.seek, self.tell = file.read, file.seek, file.tell

    data = encoded(form, (201, 150))
    want = decode_image(data, SIZE)
    assert np.array_equal(decode_image(Image.open(File(data)), SIZE), want)
    monkeypatch.setattr(decode, "MAX_PIXELS", 10_000)
    assert decode_image(Image.open(File(data)), SIZE).shape == SIZE.shape


def test_a_large_progressive_jpeg_is_refused_as_a_pillow_image_as_from_its_path(monkeypatch):
    monkeypatch.setattr(decode, "MAX_PIXELS", 10_000)
    image = Image.open(io.BytesIO(encoded("JPEG", (201, 150), progressive=True)))
    with image, pytest.raises(DataError, match="of a progressive JPEG at most 10,000 pixels"):
        read_image(image, max_pixels=10_000)


@pytest.mark.parametrize("size", [(0, 0), (5, 0), (0, 5)])
def test_images_without_pixels_are_refused(size):
    with pytest.raises(
        DataError, match=f"image: an image of at least 1 x 1 pixels was needed, got {size[1]} x {size[0]}"
    ):
        decode_image(Image.new("RGB", size), SIZE)
    for shape in (size, (*size, 3)):
        with pytest.raises(DataError, match="at least 1 x 1 pixels"):
            decode_image(np.zeros(shape, np.uint8), SIZE)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "TIFF", "BMP"])
def test_a_closed_pillow_image_is_not_called_damaged(tmp_path, form):
    path = tmp_path / "photo"
    path.write_bytes(encoded(form))
    with Image.open(path) as left:
        pass
    closed = Image.open(path)
    closed.load()
    closed.close()
    with path.open("rb") as file:
        without_file = Image.open(file)
    for image in (left, closed, without_file):
        with pytest.raises(DataError, match=r"the Pillow image is closed.*\n  hint: use it inside of its with block"):
            decode_image(image, SIZE)


def test_a_damaged_pillow_image_is_an_error_that_names_its_file(tmp_path):
    path = tmp_path / "cut.png"
    path.write_bytes(encoded("PNG")[:-200])
    with Image.open(path) as image, pytest.raises(DataError, match=r"cut\.png: the image is damaged or truncated"):
        decode_image(image, SIZE)


def test_arrays_go_through_the_same_door():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    want = decode_image(Image.fromarray(pixels), SIZE)
    assert np.array_equal(decode_image(pixels, SIZE), want)
    assert np.array_equal(decode_image(pixels.transpose(2, 0, 1), SIZE), want)
    assert decode_image(pixels[:, :, 0], ImageSize(30, 40, 1))[:, :, 0].tolist() == pixels[:, :, 0].tolist()
    floats = decode_image(pixels / 255, SIZE)
    assert floats.dtype == np.float32
    assert np.abs(floats * 255 - want).max() <= 1.01
    for wrong, message in (
        (pixels[None], r"image: an image needs the shape .* got \(1, 30, 40, 3\)"),
        (np.array(3), r"got \(\)"),
        (pixels.astype(int), "uint8, or floating-point"),
        (np.full((4, 4), 2.0), r"values in \[0, 1\]"),
        (np.full((4, 4), None), "uint8, or floating-point"),
    ):
        with pytest.raises(DataError, match=message):
            decode_image(wrong, SIZE)
