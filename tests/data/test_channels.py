import numpy as np
import pytest
from PIL import Image

from neocog.data import channels
from neocog.data.channels import to_channels
from neocog.errors import DataError, SettingError


def values(image: Image.Image) -> list:
    return np.asarray(image).tolist()


def test_sixteen_bits_keep_their_high_byte():
    want = np.array([[0, 1, 128, 255]], np.uint8)
    image = Image.fromarray(want.astype(np.uint16) * 257)
    assert image.mode == "I;16"
    assert values(to_channels(image, 1)) == want.tolist()
    assert values(to_channels(image, 3)) == np.repeat(want[..., None], 3, 2).tolist()


def test_wide_integers_need_sixteen_bits():
    assert values(to_channels(Image.fromarray(np.array([[0, 65535]], np.int32)), 1)) == [[0, 255]]
    with pytest.raises(DataError, match=r"values in 0\.\.65535, got 0\.\.70000"):
        to_channels(Image.fromarray(np.array([[0, 70000]], np.int32)), 1)


def test_floating_point_pixels_are_refused():
    with pytest.raises(DataError, match="floating-point numbers of unknown range") as caught:
        to_channels(Image.fromarray(np.zeros((2, 2), np.float32)), 3)
    assert "8 or 16 bits" in caught.value.hint


def test_transparency_lands_on_white():
    rgba = Image.fromarray(np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [0, 0, 0, 128]]], np.uint8))
    assert values(to_channels(rgba, 3)) == [[[255] * 3, [0] * 3, [127] * 3]]
    assert values(to_channels(rgba, 1)) == [[255, 0, 127]]
    grey = Image.fromarray(np.array([[[50, 0], [50, 255]]], np.uint8), "LA")
    assert values(to_channels(grey, 1)) == [[255, 50]]


def test_a_transparent_palette_entry_and_a_colour_key_land_on_white():
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    assert values(to_channels(palette, 3)) == [[[10, 20, 30], [40, 50, 60]]]
    palette.info["transparency"] = 0
    assert values(to_channels(palette, 3)) == [[[255] * 3, [40, 50, 60]]]
    key = Image.fromarray(np.array([[5, 6]], np.uint8))
    key.info["transparency"] = 5
    assert values(to_channels(key, 1)) == [[255, 6]]
    wide = Image.fromarray(np.array([[5, 600]], np.uint16))
    wide.info["transparency"] = 5
    assert values(to_channels(wide, 1)) == [[255, 2]]


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV", "LAB"]
)
@pytest.mark.parametrize(("channels", "want"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_every_mode_becomes_grey_rgb_or_rgba(mode, channels, want):
    assert to_channels(Image.new(mode, (3, 2)), channels).mode == want


def test_black_and_white_become_0_and_255():
    image = Image.new("1", (2, 1))
    image.putpixel((1, 0), 1)
    assert values(to_channels(image, 1)) == [[0, 255]]


def test_other_numbers_of_channels_are_refused():
    with pytest.raises(SettingError, match="got channels=2"):
        to_channels(Image.new("L", (1, 1)), 2)


@pytest.mark.parametrize("wanted", [1, 3])
@pytest.mark.parametrize("size", [(7, 5), (40, 1), (1, 40), (13, 13)])
@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P", "L", "RGB", "1"])
def test_bands_of_rows_give_the_pixels_of_the_whole(monkeypatch, mode, size, wanted):
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)
    image = Image.fromarray(pixels)
    image = (
        image.convert("LA").convert("PA")
        if mode == "PA"
        else image.convert("RGB").convert(mode)
        if mode != "RGBA"
        else image
    )
    if mode == "LA":
        image.putalpha(Image.fromarray(pixels[:, :, 3]))
    if mode == "P":
        image.info["transparency"] = bytes(range(0, 250, 5))
    if mode in ("L", "1"):
        image.info["transparency"] = 255
    if mode == "RGB":
        image.info["transparency"] = image.getpixel((0, 0))
    whole = np.asarray(to_channels(image, wanted))
    for band in (1, 14, 30):
        monkeypatch.setattr(channels, "_BAND", band)
        assert np.array_equal(np.asarray(to_channels(image, wanted)), whole)
