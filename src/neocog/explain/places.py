"""The same pattern in another place, and in fewer pixels: what stays of an answer.

A convolution answers to a moved pattern with a moved map: LeCun et al. 1998, Gradient-based learning applied to
document recognition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.data.resize import ImageSize, resize_array
from neocog.errors import SettingError
from neocog.explain.receptive import Field, receptive_field
from neocog.explain.response import response_index, usable
from neocog.explain.subject import Array, Subject, check_index, image_output, layer_node, one_image
from neocog.explain.trace import trace

SAME = 1e-9  # relative: what the order of float64 sums may leave between equal cells in two places
OFFERED = 48  # the most sizes of a slider

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Shift:
    """One filter's map before and after the image moved.

    image: (H, W, C) the moved image, in [0, 1]. map, before: (P, Q) of the filter, behind the
        BatchNorm2d and the activation directly behind it, where there are any.
    probabilities: (classes,) for the moved image. predicted: what the network says, as `Trace.predicted`.
    peak, peak_before: (row, column) of the maps' largest values, the first if several are; peak_value,
        peak_value_before: those values.
    stride: pixels (vertical, horizontal) of the image from one cell of the map to the next.
    moved: cells (rows, columns) by which the map must move; None where the shift is no multiple of the stride.
    equal_inside: whether it did, wherever a cell saw neither the image's border, nor what came in, before and after;
        None where it need not, or no cell is so far inside.
    """

    image: Array
    map: Array
    before: Array
    probabilities: Array
    predicted: tuple[int, ...]
    peak: tuple[int, int]
    peak_before: tuple[int, int]
    peak_value: float
    peak_value_before: float
    stride: tuple[int, int]
    moved: tuple[int, int] | None
    equal_inside: bool | None


@dataclass(frozen=True, slots=True)
class Downsampled:
    """What a network says to the same image with fewer pixels.

    small: (h, w, C) the shrunk image. image: (H, W, C) the same, brought back with nearest neighbours, which is what
    the network was given. Both in [0, 1].
    probabilities: (classes,). predicted: what the network says, as `Trace.predicted`.
    size: (h, w). values: numbers in `small`. of: numbers in `image`.
    sizes: shorter sides to choose from, ascending; the last is the image's own.
    """

    image: Array
    small: Array
    probabilities: Array
    predicted: tuple[int, ...]
    size: tuple[int, int]
    values: int
    of: int
    sizes: tuple[int, ...]


def shift(
    model: Subject,
    image: NDArray[Any],
    rows: int,
    columns: int,
    *,
    layer: int | str,
    filter: int,
    box: Sequence[int] | None = None,
) -> Shift:
    """Move an image by whole pixels, and see a filter's map follow.

    What leaves is lost, what comes in is 0.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1].
        rows, columns: pixels downwards and to the right; below 0 upwards and to the left.
        layer: index or name of a layer with maps.
        filter: which of its maps.
        box: (top, left, height, width): move this patch of the image, on a ground of 0, instead of the whole image.

    Raises:
        SettingError: a setting is out of its range. ShapeError, DataError: the image does not fit the network.
        DataError: the network answers with NaN.

    >>> from neocog.explain.lesson import lesson_image, lesson_model
    >>> found = shift(lesson_model(), lesson_image(), 1, 0, layer=0, filter=0)
    >>> found.moved, found.equal_inside
    ((1, 0), True)
    """
    node = layer_node(model, layer)
    channel = check_index("filter", filter, image_output(node).channels)
    pixels = _pixels(one_image(model, image))
    height, width = pixels.shape[:2]
    for name, by, side in (("rows", rows, height), ("columns", columns, width)):
        if isinstance(by, bool) or not isinstance(by, int | np.integer) or not -side <= by <= side:
            raise SettingError(f"{name} must be a whole number from {-side} to {side}, got {by!r}")
    if box is not None:
        top, left, high, wide = _checked_box(box, height, width)
        alone = np.zeros_like(pixels)
        alone[top : top + high, left : left + wide] = pixels[top : top + high, left : left + wide]
        pixels = alone
    after = moved_by(pixels, rows, columns)
    at = response_index(model.graph, node.index)
    one, other = usable(trace(model, pixels)), usable(trace(model, after))
    map_before, map_after = one.output(at)[..., channel], other.output(at)[..., channel]
    field = receptive_field(model.graph, node.index)
    moved = None
    if rows % field.stride[0] == 0 and columns % field.stride[1] == 0:
        moved = rows // field.stride[0], columns // field.stride[1]
    peak_before, peak = _peak(map_before), _peak(map_after)
    return Shift(
        after,
        map_after,
        map_before,
        other.probabilities,
        other.predicted,
        peak,
        peak_before,
        float(map_after[peak]),
        float(map_before[peak_before]),
        field.stride,
        moved,
        None if moved is None else _equal_inside(map_before, map_after, moved, field, (height, width)),
    )


def moved_by(image: Array, rows: int, columns: int) -> Array:
    """Move an array (H, W, …) by whole cells down and to the right; what comes in is 0.

    >>> moved_by(np.array([[1, 2], [3, 4]]), 1, -1).tolist()
    [[0, 0], [2, 0]]
    """
    result = np.zeros_like(image)
    height, width = image.shape[:2]
    to = slice(max(0, rows), height + min(0, rows)), slice(max(0, columns), width + min(0, columns))
    source = slice(max(0, -rows), height - max(0, rows)), slice(max(0, -columns), width - max(0, columns))
    if abs(rows) < height and abs(columns) < width:
        result[to] = image[source]
    return result


def downsample(model: Subject, image: NDArray[Any], size: int) -> Downsampled:
    """Shrink an image, bring it back to the network's size, and ask.

    Arguments:
        model: any neocog model.
        image: (H, W, C), uint8 or in [0, 1]. A uint8 image stays one, as a file of that size would.
        size: the shorter side of the shrunk image, pixels; the other side keeps the proportions, rounded.

    Raises:
        SettingError: the size is out of its range. ShapeError, DataError: the image does not fit the network.
        DataError: the network answers with NaN.

    >>> from neocog.explain.lesson import lesson_image, lesson_model
    >>> found = downsample(lesson_model(), lesson_image(), 3)
    >>> found.small.shape, found.image.shape, found.values, found.of
    ((3, 3, 1), (6, 6, 1), 9, 36)
    """
    batch = one_image(model, image)
    _, height, width, channels = batch.shape
    shorter = min(height, width)
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or not 1 <= size <= shorter:
        raise SettingError(f"size must be a whole number from 1 to {shorter}, the image's shorter side, got {size!r}")
    high, wide = (max(1, round(side * size / shorter)) for side in (height, width))
    whole = batch[0] if batch.dtype == np.uint8 else batch[0].astype(np.float32)
    small = resize_array(whole, ImageSize(high, wide, channels))
    back = small[np.arange(height) * high // height][:, np.arange(width) * wide // width]
    traced = usable(trace(model, back))
    return Downsampled(
        _pixels(back[None]),
        _pixels(small[None]),
        traced.probabilities,
        traced.predicted,
        (high, wide),
        small.size,
        back.size,
        offered_sizes(shorter),
    )


def offered_sizes(shorter: int) -> tuple[int, ...]:
    """Return sizes for a slider: every one up to 48; of more, the first 24, and 24 evenly spaced up to the last.

    >>> offered_sizes(4)
    (1, 2, 3, 4)
    """
    if shorter <= OFFERED:
        return tuple(range(1, shorter + 1))
    half = OFFERED // 2
    return (*range(1, half + 1), *np.rint(np.linspace(half + 1, shorter, half)).astype(int).tolist())


def _pixels(batch: NDArray[Any]) -> Array:
    """Return the one image of a batch as (H, W, C) in [0, 1]."""
    values: Array = batch[0].astype(np.float64) / (255.0 if batch.dtype == np.uint8 else 1.0)
    return values


def _checked_box(box: Sequence[int], height: int, width: int) -> Box:
    whole = len(box) == 4 and all(isinstance(side, int | np.integer) for side in box)
    top, left, high, wide = map(int, box) if whole else (0, 0, 0, 0)
    if not (0 <= top < top + high <= height and 0 <= left < left + wide <= width):
        raise SettingError(
            f"box must be (top, left, height, width) inside the {height} x {width} image, got {tuple(box)!r}"
        )
    return top, left, high, wide


def _peak(values: Array) -> tuple[int, int]:
    row, column = divmod(int(values.argmax()), values.shape[1])
    return row, column


def _equal_inside(
    before: Array, after: Array, moved: tuple[int, int], field: Field, image: tuple[int, int]
) -> bool | None:
    """Compare the cells whose fields lie on the image before and after; their content is the same."""
    ranges = []
    for axis in (0, 1):
        cells = np.arange(before.shape[axis])
        first = field.start[axis] + cells * field.stride[axis]
        by = moved[axis] * field.stride[axis]
        seen = (first + min(0, by) >= 0) & (first + field.size[axis] + max(0, by) <= image[axis])
        seen &= (cells + moved[axis] >= 0) & (cells + moved[axis] < before.shape[axis])
        ranges.append(cells[seen])
    if not all(len(cells) for cells in ranges):
        return None
    one = before[np.ix_(*ranges)]
    other = after[np.ix_(ranges[0] + moved[0], ranges[1] + moved[1])]
    limit = SAME * max(float(np.abs(before).max()), float(np.abs(after).max()))
    return bool((np.abs(one - other) <= limit).all())
