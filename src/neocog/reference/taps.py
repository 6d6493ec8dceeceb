"""The taps of a sliding window: for each, the pixels that it meets at all window positions at once, as one view."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from neocog.nn.shapes import ImageShape
from neocog.nn.window import Window, WindowAxis
from neocog.reference.arrays import Array

Span = tuple[slice, slice, slice]


def image_shape(x: Array) -> ImageShape:
    """Return the shape of one image of a batch (N, H, W, C)."""
    _, height, width, channels = x.shape
    return ImageShape(height, width, channels)


def pad(x: Array, window: Window) -> Array:
    """Put the window's padding of zeros around every image: (N, H, W, C) → (N, before + H + after, …, C)."""
    vertical, horizontal = window.vertical, window.horizontal
    return np.pad(x, ((0, 0), (vertical.before, vertical.after), (horizontal.before, horizontal.after), (0, 0)))


def crop(padded: Array, window: Window) -> Array:
    """Take the padding off again; the adjoint of `pad`."""
    vertical, horizontal = window.vertical, window.horizontal
    rows = slice(vertical.before, vertical.before + vertical.input)
    columns = slice(horizontal.before, horizontal.before + horizontal.input)
    return padded[:, rows, columns]


def taps(window: Window) -> Iterator[tuple[int, int, Span]]:
    """Walk the taps in row-major order: (row, column, where).

    `padded[where]` has the shape (N, output rows, output columns, C) and holds what this tap meets at each position.
    """
    for row in range(window.vertical.kernel):
        for column in range(window.horizontal.kernel):
            yield row, column, (slice(None), _span(window.vertical, row), _span(window.horizontal, column))


def _span(axis: WindowAxis, tap: int) -> slice:
    start = tap * axis.dilation
    return slice(start, start + (axis.output - 1) * axis.stride + 1, axis.stride)
