import numpy as np
import pytest
from PIL import Image

from neocog.data import resize
from neocog.data.arrays import ArrayDataset
from neocog.data.decode import decode_image
from neocog.data.resize import ImageSize, ResizeRule, image_to_array, resize_array, resize_image
from neocog.errors import DataError, SettingError

WHOLE = ("stretch", "crop", "pad", "stretch,bicubic", "crop,bicubic", "pad,bicubic")
RULES = (*WHOLE, "crop=0.875,bicubic", "crop=0.01", "short=40", "short=8,bicubic")


def drawn(width: int, height: int) -> Image.Image:
    """Draw noise, whose every pixel tells where it came from."""
    return Image.fromarray(np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8))


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
    assert (out == 100).all()  # nothing of what is cut off shines in


def test_pad_adds_black_above_and_below():
    out = image_to_array(resize_image(half_and_half(), 20, 20, "pad"))
    assert (out[:5] == 0).all()
    assert (out[15:] == 0).all()
    assert out[10, 10, 0] == 100
    assert out[10, 19, 0] == 255


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 3), (28, 28), (31, 97)])
def test_every_rule_gives_the_size_asked_for(rule, height, width):
    for source in ((1, 1), (5, 64), (33, 10), (width, height)):
        image = Image.new("RGB", source, (10, 20, 30))
        assert resize_image(image, height, width, rule).size == (width, height)


@pytest.mark.parametrize("rule", ["stretch", "crop", "pad"])
def test_rules_agree_on_pictures_of_the_same_proportions(rule):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 60, 3), np.uint8))
    want = image_to_array(resize_image(image, 15, 30, "stretch"))
    assert np.array_equal(image_to_array(resize_image(image, 15, 30, rule)), want)


def test_shrinking_is_antialiased():
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    out = image_to_array(resize_image(Image.fromarray(board.astype(np.uint8)), 8, 8))
    assert (abs(out.astype(int) - 127) <= 2).all()


@pytest.mark.parametrize("rule", RULES)
def test_float_images_are_resized_like_bytes_but_not_rounded(rule):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 31, 3), np.uint8)
    size = ImageSize(9, 13, 3)
    as_bytes = resize_array(pixels, size, rule)
    as_floats = resize_array(pixels.astype(np.float32) / 255, size, rule)
    assert as_floats.dtype == np.float32
    # Pillow rounds bytes after each of its two passes, half a step each, of which the second adds up as many as its
    # filter sees, with the weights of bicubic, whose sizes come to 1.4 at most
    assert np.abs(as_floats * 255 - as_bytes).max() <= (1.21 if "bicubic" in rule else 1.01)
    assert 0 <= as_floats.min() <= as_floats.max() <= 1


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
    with pytest.raises(SettingError, match="one of stretch, crop, pad, short, got 'squash'"):
        resize_image(Image.new("L", (4, 4)), 2, 2, "squash")


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("crop=", "has no number behind '='"),
        ("crop=many", "has no number behind '='"),
        ("short=25.6", "has no number behind '='"),
        ("crop=0", "part must be a number from 0.01 to 1, for crop alone, got 0.0"),
        ("crop=nan", "part must be a number from 0.01 to 1, for crop alone, got nan"),
        ("pad=0.5", "for crop alone, got 0.5"),
        ("short", "side is what short, and only short, needs"),
        ("short=0", "side must be a whole number from 1 to 65,536, got 0"),
        ("crop,nearest", "interpolation must be one of bilinear, bicubic, got 'nearest'"),
        (None, "resize rule must be one of stretch, crop, pad, short, got None"),
    ],
)
def test_wrong_rules_are_refused(rule, message):
    with pytest.raises(SettingError, match=message):
        resize.check_rule(rule)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_reads_what_it_writes(rule):
    assert str(ResizeRule.parse(rule)) == rule


@pytest.mark.parametrize(("name", "kernel"), [("bilinear", 2), ("bicubic", 3)])
@pytest.mark.parametrize(("width", "height"), [(100, 75), (75, 100), (64, 64), (31, 200), (301, 47)])
def test_short_is_pillows_resize_and_a_centre_crop(name, kernel, width, height):
    image, rule = drawn(width, height), ResizeRule("short", name, side=40)
    longer = int(40 * max(width, height) / min(width, height))
    whole = image.resize((longer, 40) if width > height else (40, longer), kernel)
    left, upper = round((whole.width - 32) / 2), round((whole.height - 30) / 2)
    want = np.asarray(whole)[upper : upper + 30, left : left + 32]
    assert np.array_equal(image_to_array(resize_image(image, 30, 32, rule)), want)


@pytest.mark.parametrize(("width", "height"), [(100, 75), (75, 100), (64, 64), (31, 47), (33, 200)])
def test_short_is_what_torchvision_does(width, height):
    transforms = pytest.importorskip("torchvision.transforms")
    image = drawn(width, height)
    for side in (28, 40, 64):  # with less than is cut out, and with as much
        change = transforms.Compose([transforms.Resize(side), transforms.CenterCrop((30, 40))])
        got = resize_image(image, 30, 40, ResizeRule("short", side=side))
        assert np.array_equal(np.asarray(got), np.asarray(change(image))), side


@pytest.mark.parametrize(
    ("width", "height", "rule", "box"),
    [
        (160, 80, "crop=0.875", (45, 5, 115, 75)),  # seven eighths of 80 are 70
        (451, 300, "crop", (75, 0, 375, 300)),  # 151 columns too many: 75 before, 76 behind
        (451, 300, "crop=0.887", (92, 17, 358, 283)),  # 266.1 of 300
        (100, 100, "crop=0.29", (35, 35, 64, 64)),  # 28.999999999999996 in float64
        (3, 2, "crop=0.01", (1, 0, 2, 1)),
    ],
)
def test_a_part_of_the_centre_is_cut_out_in_whole_pixels(width, height, rule, box):
    image = drawn(width, height)
    want = image.crop(box).resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(resize_image(image, 32, 32, f"{rule},bicubic"), np.asarray(want))


def test_a_centre_with_other_proportions_is_cut_out_in_whole_pixels():
    image = drawn(100, 75)
    want = image.crop((0, 4, 100, 70)).resize((60, 40), Image.Resampling.BILINEAR)  # 66.7 rows
    assert np.array_equal(resize_image(image, 40, 60, "crop"), np.asarray(want))


def test_a_long_strip_is_cut_before_it_is_resized(monkeypatch):
    image, rule = drawn(2, 600), ResizeRule("short", side=32)
    whole = np.asarray(resize_image(image, 20, 24, rule))
    monkeypatch.setattr(resize, "MOST_RESIZED", 32 * 9599)
    cut = np.asarray(resize_image(image, 20, 24, rule))
    assert np.abs(whole.astype(int) - cut).max() <= 1  # Pillow takes boxes in single precision
    assert resize_image(Image.new("L", (1, 65_000)), 224, 224, ResizeRule("short", side=65_000)).size == (224, 224)


def test_a_picture_of_the_right_size_is_still_cut_where_the_rule_says_so():
    pixels = np.asarray(drawn(32, 32))
    size, rule = ImageSize(32, 32, 3), ResizeRule("short", side=40)
    want = image_to_array(resize_image(Image.fromarray(pixels), 32, 32, rule))
    assert not np.array_equal(want, pixels)
    data = ArrayDataset(pixels[None], np.zeros(1, int))
    for got in (decode_image(pixels, size, rule), data.images(size=size, resize=rule)[0]):
        assert np.array_equal(got, want)
    assert np.array_equal(data.images(size=size, resize=ResizeRule())[0], pixels)
    assert data.resident(np.zeros(1, int), size)
    assert not data.resident(np.zeros(1, int), size, ResizeRule("crop", part=0.5))
