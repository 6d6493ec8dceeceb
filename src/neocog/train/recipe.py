"""What `neocog train` decides when it is not told: image size, epochs, learning rate, preprocessing.

Every rule depends on the data and the flags alone, so that the same command gives the same training anywhere.
"""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from neocog.data.dataset import Dataset
from neocog.data.resize import DEFAULT_RESIZE, ImageSize, ResizeRule
from neocog.errors import DataError
from neocog.nn.optimizers import OPTIMIZERS, Lookahead, Optimizer
from neocog.nn.schedules import (
    Constant,
    Cosine,
    LinearDecay,
    OneCycle,
    Plateau,
    PolynomialDecay,
    Schedule,
    Step,
    Warmup,
)

PHOTO_SIDES = (32, 64, 96)  # pixels; the last is what a CPU trains on in minutes and the zoo's `photo` is made for
LARGEST_NATIVE_SIDE = 128  # pixels; images that all have one size up to this keep it
SIZE_SAMPLE = 25  # images whose size is looked at
STATISTICS_SAMPLE = 2048  # images that mean and standard deviation are taken from

IMAGES_SEEN = 100_000
LEAST_EPOCHS, MOST_EPOCHS = 10, 40

OPTIMIZER_NAMES: dict[str, type[Optimizer]] = {
    kind.__name__.lower(): kind
    for kind in sorted(OPTIMIZERS, key=lambda kind: kind.__name__.lower())
    if kind is not Lookahead  # which goes around another
}
SCHEDULE_NAMES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "cosine": Cosine,
    "linear": LinearDecay,
    "one-cycle": OneCycle,
    "plateau": Plateau,
    "polynomial": PolynomialDecay,
    "step": Step,
}
COSINE_WARMUP = 0.05
RECOMMENDED = {"sgd": {"learning_rate": 0.05, "momentum": 0.9}}
"""What the recipe takes in place of an optimizer's own defaults."""
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


def default_of(name: str, setting: str) -> float | None:
    """Return what a setting of the optimizer called `name` is unless somebody asks for another; None: it has no such.

    >>> default_of("sgd", "momentum"), default_of("adam", "learning_rate"), default_of("adam", "momentum")
    (0.9, 0.001, None)
    """
    own = {entry.name: entry.default for entry in fields(OPTIMIZER_NAMES[name])}
    value = RECOMMENDED.get(name, {}).get(setting, own.get(setting))
    return value if isinstance(value, float) else None


def make_optimizer(
    name: str,
    learning_rate: float | None,
    weight_decay: float | None,
    momentum: float | None,
    lookahead: int | None = None,
) -> Optimizer:
    """Return the optimizer called `name`; None stands for its default, or for none where it has no such setting.

    With `lookahead`, slow weights follow it every so many steps.
    """
    asked = {"learning_rate": learning_rate, "weight_decay": weight_decay, "momentum": momentum}
    values = {setting: default_of(name, setting) if value is None else value for setting, value in asked.items()}
    optimizer = OPTIMIZER_NAMES[name](**{setting: value for setting, value in values.items() if value is not None})
    return optimizer if lookahead is None else Lookahead(optimizer, every=lookahead)


def make_schedule(name: str, warmup: float | None) -> Schedule:
    """Return the schedule called `name`, with a warm-up over a share of the training; None: the schedule's own.

    >>> make_schedule("linear", 0.1)
    Warmup(schedule=LinearDecay(start=1.0, final=0.0), share=0.1, start=0.0)
    """
    if name == "cosine":
        return Cosine(warmup=COSINE_WARMUP if warmup is None else warmup)
    if name == "one-cycle":
        return OneCycle() if warmup is None else OneCycle(warmup=warmup)
    schedule = SCHEDULE_NAMES[name]()
    return Warmup(schedule, warmup) if warmup else schedule
