"""Where a patch that hides the image makes an answer fall.

Source: Zeiler and Fergus 2014, Visualizing and understanding convolutional networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from neocog.errors import DataError, SettingError
from neocog.explain.gradient import GradientTarget, read_target
from neocog.explain.pace import paced
from neocog.explain.response import usable
from neocog.explain.subject import Array, ProgressListener, Subject, no_progress, one_image
from neocog.explain.trace import trace
from neocog.nn.window import Pair, check_pair, pair

Baseline = Literal["black", "mean", "white"]
BASELINES: tuple[Baseline, ...] = get_args(Baseline)


@dataclass(frozen=True, slots=True)
class Occlusion:
    """How much a target's value falls when a patch hides a place; below 0 where it rises.

    map: (rows, columns): the fall for the patch at row · stride, column · stride.
    heat: (H, W): for each pixel, the mean over the patches that cover it.
    value: the target's value on the whole image.
    patch, stride: (vertical, horizontal), pixels.
    baseline: what hides. baseline_values: (C,) its values in [0, 1]. baseline_source: where they come from, in words.
    largest: (row, column) of `map` where the fall is largest; the first, if several are.
    """

    map: Array
    heat: Array
    value: float
    patch: tuple[int, int]
    stride: tuple[int, int]
    baseline: Baseline
    baseline_values: Array
    baseline_source: str
    largest: tuple[int, int]


def occlusion(
    model: Subject,
    image: NDArray[Any],
    target: str | int,
    *,
    patch: Pair = 4,
    stride: Pair = 2,
    baseline: str = "mean",
    progress: ProgressListener = no_progress,
) -> Occlusion:
    """Hide one place after the other, and ask the model's own engine.

    The first patch lies in the top left corner. Where the strides do not end at the border, the last patch reaches
    beyond it and is cut off there, as in Captum.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1].
        target: as in `neocog.explain.gradient.read_target`; the fall of "loss:3" is below 0 where the loss rises.
        patch: height and width of what is hidden, pixels.
        stride: pixels from one patch to the next, at most the patch, so that every pixel is covered.
        baseline: "black" (0), "white" (1), or "mean": the mean of the model's normalisation; for a model whose mean is
            0 in every channel, the image's own mean, channel by channel.
        progress: told at least every second; what it raises ends the work.

    Raises:
        SettingError: a setting is out of its range. ShapeError, DataError: the image does not fit the network.
        DataError: the network answers with NaN.

    >>> from neocog.explain.lesson import lesson_image, lesson_model
    >>> found = occlusion(lesson_model(), lesson_image(), 0, patch=3, stride=3)
    >>> found.map.shape, found.heat.shape
    ((2, 2), (6, 6))
    """
    batch = one_image(model, image)
    pixels = batch[0].astype(np.float64) / (255.0 if batch.dtype == np.uint8 else 1.0)
    aim = read_target(model, target)
    (high, wide), (down, right) = _checked(pixels.shape[:2], patch, stride)
    values, source = _hiding(model, pixels, baseline)
    whole = pixels.astype(np.float32)
    value = _values(model, aim, whole[None])[0]
    if not np.isfinite(value):
        usable(trace(model, image))
    rows, columns = (
        -(-(side - length) // step) + 1
        for side, length, step in zip(pixels.shape[:2], (high, wide), (down, right), strict=True)
    )
    falls = np.empty(rows * columns)
    for places in paced(len(falls), progress, "patches"):
        hidden = np.repeat(whole[None], places.stop - places.start, axis=0)
        for copy, place in zip(hidden, range(places.start, places.stop), strict=True):
            row, column = divmod(place, columns)
            copy[row * down : row * down + high, column * right : column * right + wide] = values
        falls[places] = value - _values(model, aim, hidden)
    if not (np.isfinite(value) and np.isfinite(falls).all()):
        raise DataError("the network's logits are beyond the range of float32: there is no drop to measure")
    total, covered = np.zeros(pixels.shape[:2]), np.zeros(pixels.shape[:2])
    for place, fall in enumerate(falls):
        row, column = divmod(place, columns)
        where = slice(row * down, row * down + high), slice(column * right, column * right + wide)
        total[where] += fall
        covered[where] += 1
    largest = divmod(int(falls.argmax()), columns)
    return Occlusion(
        falls.reshape(rows, columns),
        total / covered,
        float(value),
        (high, wide),
        (down, right),
        cast(Baseline, baseline),
        values,
        source,
        largest,
    )


def _checked(sides: tuple[int, ...], patch: Pair, stride: Pair) -> tuple[tuple[int, int], tuple[int, int]]:
    check_pair("occlusion", "patch", patch, 1)
    check_pair("occlusion", "stride", stride, 1)
    lengths, steps = pair(patch), pair(stride)
    if any(length > side for length, side in zip(lengths, sides, strict=True)):
        raise SettingError(f"occlusion: patch must be at most {sides[0]} x {sides[1]} pixels, got {patch!r}")
    if any(step > length for step, length in zip(steps, lengths, strict=True)):
        raise SettingError(
            f"occlusion: stride must be at most the patch, {patch!r}, got {stride!r}",
            hint="pixels between two patches would never be covered",
        )
    return lengths, steps


def _hiding(model: Subject, pixels: Array, baseline: str) -> tuple[Array, str]:
    """Return what hides, (C,) in [0, 1], and where it comes from."""
    channels = pixels.shape[2]
    if baseline not in BASELINES:
        raise SettingError(f"occlusion: baseline must be one of {', '.join(BASELINES)}, got {baseline!r}")
    if baseline == "black":
        return np.zeros(channels), "0 in every channel"
    if baseline == "white":
        return np.ones(channels), "1 in every channel"
    mean = np.array(model.graph.normalisation.per_channel(channels)[0])
    if mean.any():
        return mean, "the mean of the model's normalisation"
    return pixels.mean(axis=(0, 1)), "the image's own mean"


def _values(model: Subject, aim: GradientTarget, images: NDArray[np.float32]) -> Array:
    """Return the target's value (N,) for images."""
    logits = model(images).astype(np.float64)
    return np.array([aim.value(row) for row in logits])
