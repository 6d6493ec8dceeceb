import numpy as np
import pytest
from PIL import Image

from neocog.data.resize import RESIZE_RULES, ImageSize, image_to_array, resize_array, resize_image
from neocog.errors import DataError, SettingError


def half_and_half() -> Image.Image:
    """80 x 40 pixels: left quarter black, middle half grey, right quarter white."""
    pixels = np.full((40, 80), 100, np.uint8)
    pixels[:, :20], pixels[:, 60:] = 0, 255
    return Image.fromarray(pixels)


def test_stretch_keeps_the_rim_and_changes_proportions():
    out = image_to_array(resize_image(half_and_half(), 20, 20, "stretch"))
    assert out.shape == (20, 20, 1)
    assert out[10, 0, 0] == 0
    assert out[10, 19, 0] == 255


def test_crop_takes_the_centred_square():
    out = image_to_array(resize_image(half_and_half(), 20, 20, "crop"))
    assert out.shape == (20, 20, 1)
    # the filter of the outermost column reaches over the rim, as when all is resized and then cropped
    assert (out[:, 1:-1] == 100).all()
    assert np.array_equal(out, image_to_array(resize_image(half_and_half(), 20, 40))[:, 10:30])


def test_pad_adds_black_above_and_below():
    out = image_to_array(resize_image(half_and_half(), 20, 20, "pad"))
    assert (out[:5] == 0).all()
    assert (out[15:] == 0).all()
    assert out[10, 10, 0] == 100
    assert out[10, 19, 0] == 255


@pytest.mark.parametrize("rule", RESIZE_RULES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 3), (28, 28), (31, 97)])
def test_every_rule_gives_the_size_asked_for(rule, height, width):
    for source in ((1, 1), (5, 64), (33, 10), (width, height)):
        image = Image.new("RGB", source, (10, 20, 30))
        assert resize_image(image, height, width, rule).size == (width, height)


@pytest.mark.parametrize("rule", RESIZE_RULES)
def test_rules_agree_on_pictures_of_the_same_proportions(rule):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 60, 3), np.uint8))
    want = image_to_array(resize_image(image, 15, 30, "stretch"))
    assert np.array_equal(image_to_array(resize_image(image, 15, 30, rule)), want)


def test_shrinking_is_antialiased():
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    out = image_to_array(resize_image(Image.fromarray(board.astype(np.uint8)), 8, 8))
    assert (abs(out.astype(int) - 127) <= 2).all()


@pytest.mark.parametrize("rule", RESIZE_RULES)
def test_float_images_are_resized_like_bytes_but_not_rounded(rule):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    size = ImageSize(9, 13, 3)
    as_bytes = resize_array(pixels, size, rule)
    as_floats = resize_array(pixels.astype(np.float32) / 255, size, rule)
    assert as_floats.dtype == np.float32
    # Pillow rounds bytes after each of its two passes: half a step each
    assert np.abs(as_floats * 255 - as_bytes).max() <= 1.01


def test_arrays_change_channels_by_the_rules_of_files():
    rgb = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], np.uint8)
    assert resize_array(rgb, ImageSize(1, 4, 1))[0, :, 0].tolist() == [76, 150, 29, 255]
    grey = np.array([[[7], [9]]], np.uint8)
    assert resize_array(grey, ImageSize(1, 2, 3)).tolist() == [[[7] * 3, [9] * 3]]
    hidden = np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], np.uint8)
    assert resize_array(hidden, ImageSize(1, 2, 3)).tolist() == [[[255] * 3, [10, 20, 30]]]
    floats = hidden.astype(np.float32) / 255
    assert np.allclose(resize_array(floats, ImageSize(1, 2, 3)) * 255, [[[255] * 3, [10, 20, 30]]])
    assert np.allclose(resize_array(rgb.astype(np.float32) / 255, ImageSize(1, 4, 1))[0, 0], 0.299)


def test_channels_without_a_rule_are_refused():
    with pytest.raises(DataError, match="an image of 5 channels cannot become one of 3"):
        resize_array(np.zeros((4, 4, 5), np.uint8), ImageSize(4, 4, 3))
    assert resize_array(np.zeros((4, 4, 5), np.uint8), ImageSize(2, 2, 5)).shape == (2, 2, 5)


def test_sizes_and_rules_are_checked():
    assert str(ImageSize(28, 30, 1)) == "28 x 30 x 1"
    assert ImageSize(2, 3, 4).values == 24
    for wrong in (0, -1, 2.5, True, "8"):
        with pytest.raises(SettingError, match="width needs a whole number of at least 1, got"):
            ImageSize(8, wrong, 1)
    with pytest.raises(SettingError, match="one of stretch, crop, pad, got 'squash'"):
        resize_image(Image.new("L", (4, 4)), 2, 2, "squash")
