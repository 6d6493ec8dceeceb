"""What is found out about the pictures to be learnt: their size, their mean, whether they may be mirrored.

Every rule depends on the data and what is asked for alone, so that the same command gives the same training anywhere.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from neocog.data.dataset import Dataset
from neocog.data.resize import DEFAULT_RESIZE, Images, ImageSize, ResizeRule, resize_array
from neocog.errors import DataError

PHOTO_SIDES = (32, 64, 96, 128)  # pixels; the last is what a CPU trains on in minutes
LARGEST_NATIVE_SIDE = 128  # pixels; images that all have one size up to this keep it
SIZE_SAMPLE = 25  # images whose size is looked at
STATISTICS_SAMPLE = 2048  # images that mean and standard deviation are taken from
MIRROR_SAMPLE = 2000  # images that are compared with mirrored ones
MIRROR_SIDE = 32  # pixels of a side, grey
MIRROR_EACH = 20  # of them that a class has at least, where it has as many
SURE = 5.0  # standard errors of many images, beyond which a difference is no accident
LEAST_DEVIATION = 1e-3  # a channel that never changes is shifted, and not blown up


def choose_size(data: Dataset, sides: tuple[int, int] | None = None, channels: int | None = None) -> ImageSize:
    """Return the size that images are brought to.

    Arguments:
        data: the training images.
        sides: height and width asked for, pixels; None: the size that all images have if it is at most 128 pixels,
            else a square of 32, 64, 96 or 128, the largest that is not above the median of the shorter sides.
        channels: asked for; None: 1 if all images are grey, else what they have.
    """
    channels = channels or data.channels
    if sides is not None:
        return ImageSize(*sides, channels)
    native = data.native_size
    if native is not None and max(native.height, native.width) <= LARGEST_NATIVE_SIDE:
        return ImageSize(native.height, native.width, channels)
    shorter = _median_side(data) if native is None else min(native.height, native.width)
    side = max((side for side in PHOTO_SIDES if side <= shorter), default=PHOTO_SIDES[0])
    return ImageSize(side, side, channels)


def _median_side(data: Dataset) -> float:
    sides = []
    for index in _spread(len(data), SIZE_SAMPLE):
        try:
            facts = data.facts(int(index))
        except DataError:
            continue  # listed, with all others that cannot be read, before training starts
        sides.append(min(facts.height, facts.width))
    return float(np.median(sides)) if sides else PHOTO_SIDES[-1]


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """Return at most `most` of the indices below `count`, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))


def channel_statistics(
    data: Dataset, size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the mean and the standard deviation of each channel, on values in [0, 1], over at most 2,048 images."""
    indices = _spread(len(data), STATISTICS_SAMPLE)
    total = np.zeros(size.channels)
    square = np.zeros(size.channels)
    pixels = 0
    for start in range(0, len(indices), 64):
        images, readable = data.read(indices[start : start + 64], size, resize)
        values = images[readable].reshape(-1, size.channels).astype(np.float64)
        if images.dtype == np.uint8:
            values /= 255.0
        total += values.sum(axis=0)
        square += (values**2).sum(axis=0)
        pixels += len(values)
    mean = total / max(1, pixels)
    deviation = np.sqrt(np.maximum(0.0, square / max(1, pixels) - mean**2))
    deviation[deviation < LEAST_DEVIATION] = 1.0
    # Six digits are more than matter, and read well in the model file.
    return tuple(round(float(m), 6) for m in mean), tuple(round(float(s), 6) for s in deviation)


def may_be_mirrored(data: Dataset, size: ImageSize, resize: ResizeRule = DEFAULT_RESIZE) -> bool:
    """Whether a picture and its mirror image show the same, left and right exchanged.

    They do not where the mirrored images of one class lie nearer to another class than to their own, though the images
    themselves do not: a mirrored 3 looks like an 8. Images are compared as grey ones of 32 x 32 pixels, each brought to
    mean 0 and length 1: the product with the nearest image of a class, on average over the images of another, and only
    differences of five standard errors count; of few images more, see `_sure`.

    Arguments:
        data: the training images; at most 2,000 are looked at, of each class alike; of very many classes, 100. Where
            images have several labels, those with the same ones are a class.
        size: one in which they are at hand, so that nothing need be decoded again.

    Returns:
        Where there is one class, True: nothing speaks against it.
    """
    _, classes = np.unique(data.labels, axis=0, return_inverse=True)
    order = np.argsort(classes, kind="stable")
    every = np.split(order, np.flatnonzero(np.diff(classes[order])) + 1)
    each = max(MIRROR_EACH, MIRROR_SAMPLE // len(every))
    compared = [every[place] for place in _spread(len(every), MIRROR_SAMPLE // each)]
    chosen = np.concatenate([places[_spread(len(places), each)] for places in compared])
    grey, readable = _small(data, chosen, size, resize)
    labels = classes[chosen[readable]]
    starts = np.flatnonzero(np.diff(labels, prepend=-1))  # they are in order
    if len(starts) < 2:
        return True
    straight, mirrored = _unit(grey), _unit(grey[:, :, ::-1])
    alike = straight @ straight.T
    np.fill_diagonal(alike, -1.0)  # no image is a neighbour of itself
    as_they_are, turned = (np.maximum.reduceat(a, starts, axis=1) for a in (alike, mirrored @ straight.T))
    for place, (first, last) in enumerate(zip(starts, [*starts[1:], len(labels)], strict=True)):
        # how much nearer another class is than the own one, for each image of a class and each class
        before, after = (a[first:last] - a[first:last, place : place + 1] for a in (as_they_are, turned))
        if len(after) < 3:
            continue  # their spread says nothing
        error = after.std(axis=0, ddof=1) / np.sqrt(len(after))
        if np.any((before.mean(axis=0) <= 0) & (after.mean(axis=0) > _sure(len(after)) * error)):
            return False
    return True


def _sure(images: int) -> float:
    """Return how many standard errors the mean of so many images, 3 or more, must have to be as sure as SURE of many:
    the quantile of Student's t distribution, as Gaver and Kafadar approximate it (The American Statistician, 1984).

    >>> [round(_sure(images), 1) for images in (5, 20, 200)]
    [64.4, 7.4, 5.2]
    """
    freedom = images - 1
    growth = SURE**2 * (freedom - 1.5) / (freedom - 1) ** 2
    return math.sqrt(freedom * math.expm1(growth))


def _small(
    data: Dataset, chosen: NDArray[np.int64], size: ImageSize, resize: ResizeRule
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return those images that can be read, as grey ones (N, 32, 32), and which these are."""
    small = ImageSize(MIRROR_SIDE, MIRROR_SIDE, 1)
    grey, kept = [], []
    for start in range(0, len(chosen), 64):
        part = chosen[start : start + 64]
        images, readable = data.read(part, size, resize)
        grey += [_grey(image, small) for image in images[readable]]
        kept.append(readable)
    return np.reshape(grey, (-1, MIRROR_SIDE, MIRROR_SIDE)).astype(np.float32), np.concatenate(kept)


def _grey(image: Images, small: ImageSize) -> NDArray[np.float32]:
    if image.shape[2] not in (1, 3, 4):  # channels of no known colour
        image = image.mean(axis=2, keepdims=True, dtype=np.float32)
    return resize_array(image, small)[:, :, 0].astype(np.float32)


def _unit(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    flat = grey.reshape(len(grey), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    unit: NDArray[np.float32] = flat / np.where(lengths > 0, lengths, 1)
    return unit
