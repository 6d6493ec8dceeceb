"""Each transform, held to a rendering of its own: pixel by pixel in plain NumPy or Python, or by Pillow."""

import colorsys
import math

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

import neocog as nc
from neocog.data.augment.draws import Draws
from neocog.data.augment.trivial import WAYS
from neocog.errors import SettingError

SIDES = (12, 10)


@pytest.fixture(params=[1, 3, 4], ids=["grey", "RGB", "RGBA"])
def images(request):
    return np.random.default_rng(request.param).integers(0, 256, (40, *SIDES, request.param), np.uint8)


@pytest.fixture
def photos():
    """Smooth pictures, as photographs are."""
    rows, columns = np.mgrid[0:12, 0:10]
    of_images = np.arange(40)[:, None, None]
    planes = [np.sin(rows / 5 + of_images), np.cos(columns / 4 + of_images), np.sin((rows + columns) / 9 - of_images)]
    return (np.stack(planes, axis=3) * 120 + 128).astype(np.uint8)


def draws_of(images, epoch=0, seed=7):
    return Draws(seed, epoch, np.arange(100, 100 + len(images)))


def changed(transform, images, epoch=0, sides=SIDES):
    return transform.apply(images.copy(), draws_of(images, epoch), sides)


def hats(low, high, count, outputs):
    """Weights (outputs, count) of bilinear resizing with antialias of the part from low to high: hats as wide as a
    pixel of the finer of both grids.
    """
    scale = (high - low) / outputs
    centres = low + (np.arange(outputs) + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(count) + 0.5 - centres[:, None]) / max(scale, 1))
    return weights / weights.sum(axis=1, keepdims=True)


def test_a_flip_mirrors_the_share_asked_for_and_leaves_the_rest(images):
    out = changed(nc.RandomFlip(0.5), images)
    mirrored = [np.array_equal(got, image[:, ::-1]) for got, image in zip(out, images, strict=True)]
    kept = [np.array_equal(got, image) for got, image in zip(out, images, strict=True)]
    assert all(one != other for one, other in zip(mirrored, kept, strict=True))
    assert 10 <= sum(mirrored) <= 30
    assert np.array_equal(changed(nc.RandomFlip(1.0), images), images[:, :, ::-1])
    assert np.array_equal(changed(nc.RandomFlip(1.0, axis="vertical"), images), images[:, ::-1])
    assert np.array_equal(changed(nc.RandomFlip(0.0), images), images)


def test_an_alternating_flip_shows_both_sides_in_two_epochs(images):
    first, second, third = (changed(nc.RandomFlip(alternating=True), images, epoch) for epoch in range(3))
    assert np.array_equal(first, third)
    assert np.array_equal(first[:, :, ::-1], second)
    assert 10 <= sum(np.array_equal(a, b) for a, b in zip(first, images, strict=True)) <= 30
    plain = [changed(nc.RandomFlip(), images, epoch) for epoch in range(3)]
    assert not np.array_equal(plain[0], plain[2])


@pytest.mark.parametrize("border", ["reflect", "zero"])
def test_a_crop_is_a_shift_of_what_lies_behind_a_border(images, border):
    height, width = SIDES
    shifts = set()
    for got, image in zip(changed(nc.RandomCrop(3, border), images), images, strict=True):

        def pixel(row, column, image=image):
            if border == "zero":
                inside = 0 <= row < height and 0 <= column < width
                return image[row, column] if inside else np.zeros(image.shape[2], np.uint8)
            row, column = abs(row), abs(column)
            return image[min(row, 2 * (height - 1) - row), min(column, 2 * (width - 1) - column)]

        fitting = [
            (down, right)
            for down in range(-3, 4)
            for right in range(-3, 4)
            if all(
                np.array_equal(got[row, column], pixel(row + down, column + right))
                for row in range(height)
                for column in range(width)
            )
        ]
        assert len(fitting) == 1
        shifts |= set(fitting)
    assert len(shifts) > 15
    assert {down for down, _ in shifts} == {right for _, right in shifts} == set(range(-3, 4))


def test_a_resized_crop_is_its_box_cut_out_and_resized(images):
    large = np.random.default_rng(0).integers(0, 256, (40, 24, 30, images.shape[3]), np.uint8)
    transform = nc.RandomResizedCrop(0.3)
    out = changed(transform, large)
    assert out.shape == (40, *SIDES, images.shape[3])
    boxes = transform.boxes(draws_of(large), 24, 30)
    for got, image, (left, upper, right, lower) in zip(out, large, boxes, strict=True):
        assert 0 <= left < right <= 30
        assert 0 <= upper < lower <= 24
        down, across = hats(upper, lower, 24, SIDES[0]), hats(left, right, 30, SIDES[1])
        want = np.einsum("ir,jc,rck->ijk", down, across, image.astype(float))
        assert np.abs(got - want).max() <= 1.1  # bytes are rounded after each axis, weights to 22 bits
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / (24 * 30)
    assert 0.25 < area.min() < 0.45
    assert 0.8 < area.max() <= 1
    assert len({tuple(box) for box in boxes.tolist()}) > 35


def test_affine_is_bilinear_sampling_along_its_matrix(images):
    transform = nc.RandomAffine(40, 0.2, 0.3, 15)
    out = changed(transform, images)
    matrices = transform.matrices(draws_of(images), *SIDES)
    assert (np.abs(matrices[:, 1]) > 0.05).sum() > 20  # they do turn
    height, width = SIDES
    for got, image, (a, b, c, d, e, f) in zip(out, images, matrices, strict=True):
        for row in range(height):
            for column in range(width):
                x, y = a * (column + 0.5) + b * (row + 0.5) + c, d * (column + 0.5) + e * (row + 0.5) + f
                if min(abs(x), abs(x - width), abs(y), abs(y - height)) < 1e-3:
                    continue  # on the very edge either side is right
                if not (0 < x < width and 0 < y < height):
                    assert not got[row, column].any()
                    continue
                left, upper = math.floor(x - 0.5), math.floor(y - 0.5)
                across, along = x - 0.5 - left, y - 0.5 - upper
                corners = [
                    image[min(max(r, 0), height - 1), min(max(q, 0), width - 1)].astype(float)
                    for r in (upper, upper + 1)
                    for q in (left, left + 1)
                ]
                top = corners[0] * (1 - across) + corners[1] * across
                bottom = corners[2] * (1 - across) + corners[3] * across
                assert np.abs(got[row, column] - (top * (1 - along) + bottom * along)).max() <= 1.01


def test_nothing_asked_of_affine_changes_nothing(images):
    assert np.array_equal(changed(nc.RandomAffine(0, 0, 0, 0), images), images)


def levels(factor, saturation, offset):
    """The unit that factors are multiples of, so that results have 16 bits."""
    reach = 255 * max(1, saturation) * factor + abs(offset)
    return 64 if reach <= 506 else 32 if reach <= 1012 else 16 if reach <= 2024 else 8


@pytest.mark.parametrize("hue", [0.0, 0.2])
@pytest.mark.parametrize("extents", [(0.5, 0.4, 0.6), (1.0, 1.0, 1.0), (0.0, 0.0, 0.7), (0.02, 0.02, 0.0)])
def test_jitter_is_one_matrix_and_one_offset_an_image(photos, extents, hue):
    transform = nc.ColorJitter(*extents, hue)
    draws = draws_of(photos)
    factors = [draws.uniform(number, 1 - x, 1 + x) for number, x in enumerate(extents)]
    turns = draws.uniform(3, -hue, hue)
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])
    units = set()
    for place, got in enumerate(changed(transform, photos)):
        bright, contrast, saturation = (factor[place] for factor in factors)
        x = photos[place].astype(float)
        grey = (x @ np.array([77, 150, 29]) / 256)[..., None]
        factor, offset = bright * contrast, (1 - contrast) * bright * x.mean()
        if hue:
            angle = 2 * math.pi * turns[place]
            turn = np.array([[1, 0, 0], [0, math.cos(angle), -math.sin(angle)], [0, math.sin(angle), math.cos(angle)]])
            x = factor * (grey + saturation * (x - grey)) @ (np.linalg.inv(to_yiq) @ turn @ to_yiq).T + offset
            assert np.abs(got - np.clip(x, 0, 255)).max() <= 0.52
            continue
        unit = levels(factor, saturation, offset)
        units.add(unit)
        own, whole = np.rint(factor * saturation * unit) / unit, np.rint(factor * unit) / unit
        x = own * x + (whole - own) * grey + np.rint(offset * unit) / unit
        # the grey is rounded by a half, of which this much is left, and the result once more
        assert np.abs(got - np.clip(x, 0, 255)).max() <= 0.5 * abs(whole - own) + 0.51
    assert hue or len(units) >= (3 if extents[0] == 1 else 1)


def test_jitter_of_other_channels_changes_brightness_and_contrast(images):
    if images.shape[3] == 3:
        return
    draws = draws_of(images)
    for place, got in enumerate(changed(nc.ColorJitter(0.5, 0.4, 0.6, 0.1), images)):
        bright, contrast = draws.uniform(0, 0.5, 1.5)[place], draws.uniform(1, 0.6, 1.4)[place]
        factor, offset = bright * contrast, (1 - contrast) * bright * images[place].mean()
        unit = levels(factor, 1, offset)
        x = images[place] * (np.rint(factor * unit) / unit) + np.rint(offset * unit) / unit
        assert np.array_equal(got, np.clip(np.floor(x + 0.5), 0, 255))


def test_the_largest_and_smallest_numbers_do_not_run_over():
    """Sixteen bits are just enough: pure colours and white, at the ends of all ranges."""
    pixels = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [0, 255, 255], [255, 255, 255], [0, 0, 0]])
    many = np.repeat(pixels.astype(np.uint8)[None, :, None], 4000, axis=0)
    draws = draws_of(many)
    out = nc.ColorJitter(1, 1, 1).apply(many.copy(), draws, (7, 1))[:, :, 0]
    bright, contrast, saturation = (draws.uniform(number, 0, 2)[:, None, None] for number in range(3))
    grey = (pixels @ np.array([77, 150, 29]) / 256)[:, None]
    want = bright * contrast * (grey + saturation * (pixels - grey)) + (1 - contrast) * bright * pixels.mean()
    assert (
        np.abs(out - np.clip(want, 0, 255)).max() <= 255 / 16 + 2
    )  # factors of eighths, at the most, are half of that


def test_nothing_asked_of_jitter_changes_nothing(images):
    assert np.array_equal(changed(nc.ColorJitter(0, 0, 0), images), images)


def test_hue_keeps_greys_and_turns_colours():
    pure = np.array([[[200, 60, 60], [90, 90, 90]]], np.uint8)
    images = np.repeat(pure[None], 200, axis=0)
    out = changed(nc.ColorJitter(0, 0, 0, 0.5), images, sides=(1, 2))
    assert np.abs(out[:, 0, 1].astype(int) - 90).max() <= 1
    hues = [colorsys.rgb_to_hsv(*(pixel / 255))[0] for pixel in out[:, 0, 0]]
    assert np.histogram(hues, 6, (0, 1))[0].min() > 10


def test_grey_is_luminance(photos):
    out = changed(nc.RandomGrayscale(0.5), photos)
    grey = [len(np.unique(image, axis=2)) and (image == image[:, :, :1]).all() for image in out]
    assert 10 <= sum(grey) <= 30
    for got, image, is_grey in zip(out, photos, grey, strict=True):
        want = image if not is_grey else np.asarray(Image.fromarray(image).convert("L"))[:, :, None]
        assert np.abs(got.astype(int) - want).max() <= 1


def test_blur_is_pillows_of_the_share_asked_for(images):
    out = changed(nc.GaussianBlur(0.5, 3.0), images)
    sigmas = draws_of(images).uniform(1, 0.1, 3.0)
    blurred = 0
    for got, image, sigma in zip(out, images, sigmas, strict=True):
        if np.array_equal(got, image):
            continue
        blurred += 1
        for channel in range(images.shape[3]):
            plane = Image.fromarray(np.ascontiguousarray(image[:, :, channel]))
            want = np.asarray(plane.filter(ImageFilter.GaussianBlur(float(sigma))))
            assert np.array_equal(got[:, :, channel], want)
    assert 10 <= blurred <= 30


@pytest.mark.parametrize("fill", ["noise", "mean"])
def test_erasing_covers_one_rectangle(images, fill):
    out = changed(nc.RandomErasing(0.6, 0.4, fill), images)
    shares = []
    for got, image in zip(out, images, strict=True):
        rows, columns = np.nonzero((got != image).any(axis=2))
        if not len(rows):
            continue
        part = got[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        shares.append(part.shape[0] * part.shape[1] / math.prod(SIDES))
        if fill == "mean":
            mean = image.reshape(-1, image.shape[2]).mean(axis=0)
            covered = np.abs(part - mean).max(axis=2) <= 0.51
            assert covered.all()
        elif part.size > 20:
            assert len(np.unique(part)) > part.size // 3
    assert 15 <= len(shares) <= 33
    assert 0.3 < max(shares) < 0.5


def test_a_cutout_is_a_square_that_may_reach_over_the_edge():
    images = np.random.default_rng(0).integers(0, 256, (200, 12, 10, 3), np.uint8)
    sizes = set()
    for got, image in zip(changed(nc.Cutout(4), images), images, strict=True):
        rows, columns = np.nonzero((got != image).any(axis=2))
        part = got[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        sizes.add(part.shape[:2])
        assert np.abs(part - image.reshape(-1, 3).mean(axis=0)).max() <= 0.51
    assert max(sizes) == (4, 4)
    assert (2, 4) in sizes
    assert min(sizes)[0] >= 2


def test_trivial_augment_draws_every_way_and_strength(photos):
    many = np.concatenate([photos] * 10)
    draws = draws_of(many)
    ways = draws.below(0, len(WAYS))
    assert len(np.unique(ways)) == len(WAYS) == 14
    assert len(np.unique(draws.below(1, 31))) == 31
    out = changed(nc.TrivialAugment(), many)
    strength = draws.below(1, 31) / 30
    signed = np.where(draws.chosen(2, 0.5), strength, -strength)
    for place, got in enumerate(out):
        image, way, by = Image.fromarray(many[place]), ways[place], abs(strength[place])
        x = many[place].astype(float)
        if way == 0:
            assert np.array_equal(got, many[place])
        elif way == 3:
            want = image.transform(
                image.size, Image.Transform.AFFINE, (1, 0, 32 * signed[place] * 10 / 224, 0, 1, 0), 2
            )
            assert np.array_equal(got, np.asarray(want))
        elif way == 6:
            assert np.abs(got - np.clip(x * (1 + 0.99 * signed[place]), 0, 255)).max() <= 1.01
        elif way == 10:
            bits = 8 - round(6 * by)
            assert np.array_equal(got, many[place] & (0xFF << (8 - bits) & 0xFF))
        elif way == 11:
            threshold = round(256 * (1 - by))
            assert np.array_equal(got, np.where(many[place] < threshold, many[place], 255 - many[place]))
        elif way == 13:
            assert np.array_equal(got, np.asarray(ImageOps.equalize(image)))
    weak = changed(nc.TrivialAugment(0.0), photos)
    assert np.abs(weak.astype(int) - photos)[draws_of(photos).below(0, 14) < 11].max() <= 1


def test_turning_keeps_the_centre_and_takes_the_rim_away():
    images = np.full((30, 31, 31, 1), 200, np.uint8)
    out = changed(nc.RandomAffine(45, 0, 0), images, sides=(31, 31))
    assert (out[:, 10:21, 10:21] == 200).all()
    assert (out[:, 0, 0] == 0).sum() > 20


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: nc.RandomFlip(1.5), "share must be a number from 0 to 1, got 1.5"),
        (lambda: nc.RandomFlip(axis="diagonal"), "horizontal"),
        (lambda: nc.RandomFlip(alternating=1), "True or False"),
        (lambda: nc.RandomCrop(0), "padding must be an integer of at least 1, got 0"),
        (lambda: nc.RandomCrop(2, "mirror"), "reflect"),
        (lambda: nc.RandomResizedCrop(0), "area"),
        (lambda: nc.ColorJitter(hue=0.6), "hue"),
        (lambda: nc.ColorJitter(1.5), "brightness must be a number from 0 to 1, got 1.5"),
        (lambda: nc.MixUp(0), "alpha"),
        (lambda: nc.Cutout(2.5), "side"),
        (lambda: nc.RandomErasing(fill="red"), "noise"),
        (lambda: nc.GaussianBlur(sigma=math.nan), "sigma"),
    ],
)
def test_values_out_of_range_are_told(make, told):
    with pytest.raises(SettingError, match=told):
        make()


def test_a_border_wider_than_the_image_is_told(images):
    with pytest.raises(SettingError, match="at least 11 x 11 pixels, got 12 x 10"):
        changed(nc.RandomCrop(10), images)
    changed(nc.RandomCrop(10, "zero"), images)
