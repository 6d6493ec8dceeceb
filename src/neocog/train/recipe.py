"""What `neocog train` decides when it is not told: image size, epochs, learning rate, preprocessing.

Every rule depends on the data and the flags alone, so that the same command gives the same training anywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neocog.data.dataset import Dataset
from neocog.data.resize import DEFAULT_RESIZE, ImageSize, ResizeRule
from neocog.errors import DataError
from neocog.nn.optimizers import SGD, Adam, AdamW, Optimizer

PHOTO_SIDES = (32, 64, 96)  # pixels; the last is what a CPU trains on in minutes and the zoo's `photo` is made for
LARGEST_NATIVE_SIDE = 128  # pixels; images that all have one size up to this keep it
SIZE_SAMPLE = 25  # images whose size is looked at
STATISTICS_SAMPLE = 2048  # images that mean and standard deviation are taken from

IMAGES_SEEN = 100_000
LEAST_EPOCHS, MOST_EPOCHS = 10, 40

LEARNING_RATES = {"adam": 0.001, "adamw": 0.001, "sgd": 0.05}
MOMENTUM = 0.9
LEAST_DEVIATION = 1e-3  # a channel that never changes is shifted, and not blown up


def choose_epochs(images: int) -> int:
    """Return the number of epochs in which about 100,000 images are seen, at least 10 and at most 40.

    >>> [choose_epochs(images) for images in (60_000, 3_000, 100)]
    [10, 33, 40]
    """
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, round(IMAGES_SEEN / max(1, images))))


def choose_size(data: Dataset, sides: tuple[int, int] | None = None, channels: int | None = None) -> ImageSize:
    """Return the size that images are brought to.

    Arguments:
        data: the training images.
        sides: height and width asked for, pixels; None: the size that all images have if it is at most 128 pixels,
            else a square of 32, 64 or 96, the largest that is not above the median of the shorter sides.
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


def make_optimizer(
    name: str, learning_rate: float | None, weight_decay: float | None, momentum: float | None
) -> Optimizer:
    """Return the optimizer called `name`; None stands for the default: 0.001 (SGD: 0.05), no decay, 0.9."""
    rate = LEARNING_RATES[name] if learning_rate is None else learning_rate
    if name == "sgd":
        return SGD(rate, weight_decay=weight_decay or 0.0, momentum=MOMENTUM if momentum is None else momentum)
    if name == "adamw":
        return AdamW(rate, weight_decay=AdamW().weight_decay if weight_decay is None else weight_decay)
    return Adam(rate, weight_decay=weight_decay or 0.0)
